"""The command `compare`; comparisons are run in tests/pipeline/comparison/test_compare.py."""

from pathlib import Path

import pytest

from tests.pipeline.conftest import run_command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--methods", "kd,nope"), "--methods: there is no 'nope'"),
        (("--seeds", "0"), "'--seeds': 0 is not in the range"),
        (("--methods", "tmkd", "--bases", ""), "--bases: expected at least one name"),
        (("--methods", ""), "--methods: expected at least one name"),
        (("--set", "train.epoch=3"), "train.epochs"),
    ],
)
def test_invalid_arguments_give_one_message(tiny_recipe: Path, arguments: tuple[str, ...], message: str) -> None:
    outcome = run_command("compare", tiny_recipe, *arguments)
    assert outcome.code == 2 and message in outcome.err and "Traceback" not in outcome.err
    assert outcome.out == ""
