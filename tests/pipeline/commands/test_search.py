"""The command `search`; searches are run in tests/pipeline/search/test_search.py."""

from pathlib import Path

import pytest

from pipeline.search import journal
from tests.pipeline.conftest import run_command

STUDENTS = ("--students", "cifar:resnet8", "--budget", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "missing option '--students'"),
        (("--students", "cifar:resnet8"), "missing option '--budget'"),
        (("--students", "cifar:resnet9", "--budget", "1"), "cifar:resnet9"),
        (("--students", ",", "--budget", "1"), "--students: expected at least one name"),
        ((*STUDENTS, "--precisions", "int4"), "'int4' is not one of fp32,"),
        ((*STUDENTS, "--methods", "magic"), "--methods: there is no 'magic'"),
        (("--students", "cifar:resnet8", "--budget", "0"), "'--budget': 0"),
        ((*STUDENTS, "--min-top1", "70"), "'--min-top1': 70"),
        ((*STUDENTS, "--threads", "0"), "'--threads': 0"),
        ((*STUDENTS, "--set", "train.epoch=3"), "train.epochs"),
    ],
)
def test_invalid_arguments_give_one_message_before_anything_is_made(
    tiny_recipe: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    outcome = run_command("search", tiny_recipe, "--run-dir", tmp_path / "search", *arguments)
    assert outcome.code == 2 and message in outcome.err and "Traceback" not in outcome.err
    assert outcome.out == "" and not (tmp_path / "search").exists()


def test_without_optuna_the_extra_is_named(tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "find_spec", lambda _name: None)
    outcome = run_command("search", tiny_recipe, "--run-dir", tmp_path / "search", *STUDENTS)
    assert outcome.code == 4 and "pip install 'tmkd-pipeline[search]'" in outcome.err
    assert not (tmp_path / "search").exists()
