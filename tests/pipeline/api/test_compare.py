"""`compare` from Python: what it returns, refuses and leaves for the report."""

import json
import shlex
from pathlib import Path

import pytest

from exporters.core.files import read_json
from pipeline import compare, load_recipe
from pipeline.api.compare import read_comparison
from pipeline.errors import GateError, UsageError
from tests.pipeline.conftest import run_command


def test_comparison_is_the_one_of_the_command(tiny_recipe: Path, tmp_path: Path) -> None:
    """Trained once from Python, then reused by the command that the report gives, and extended."""
    recipe = load_recipe(tiny_recipe, overrides={"train.epochs": 1})
    done = compare(recipe, methods=["ce", "kd"], seeds=1, run_dir=tmp_path / "c", report=False, quiet=True)
    assert [arm["name"] for arm in done.arms] == ["ce", "kd"] and done.found == read_json(tmp_path / "c/compare.json")
    assert done.report is None and done.headline == done.found["headline"]
    assert repr(done).startswith("tiny: 2 arms") and "kd" in repr(done) and "<td>ce</td>" in done._repr_html_()
    words = shlex.split(done.found["command"])
    assert words[:2] == ["tmkd-pipeline", "compare"]
    outcome = run_command(*words[1:], "--json")
    assert outcome.code == 0 and "finished before" in outcome.err
    assert json.loads(outcome.out)["arms"] == done.arms


def test_values_give_the_same_runs_as_their_file(tiny_recipe: Path, tmp_path: Path) -> None:
    import yaml

    values = yaml.safe_load(tiny_recipe.read_text())
    options = {"methods": "ce", "seeds": 1, "run_dir": tmp_path / "c", "report": False, "quiet": True}
    first = compare(load_recipe(tiny_recipe, overrides={"train.epochs": 1}), **options)  # type: ignore[arg-type]
    values["train"]["epochs"] = 1
    second = compare(values, **options)  # type: ignore[arg-type]
    assert first.arms == second.arms and second.found["command"] == "pipeline.compare"


def test_arguments_that_make_no_comparison_are_refused(tiny_recipe: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"methods": ["nope"]}, "^methods: there is no 'nope'"),
        ({"methods": []}, "^methods: expected at least one name"),
        ({"methods": ["ce"], "bases": ["kd"]}, "^bases: only tmkd plugs into a base, and methods has no tmkd"),
        ({"seeds": 0}, "^seeds: expected a whole number of 1 or more, got 0"),
    ):
        with pytest.raises(UsageError, match=message):
            compare(tiny_recipe, run_dir=tmp_path / "c", quiet=True, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "c").exists()


def test_run_that_does_not_come_through_is_an_error_with_the_others(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.comparison import compare as module

    def fail(*arguments: object) -> tuple[dict[str, str], bool]:
        return {"ce, seed 3": "diverged"}, True

    monkeypatch.setattr(module, "execute_runs", fail)
    with pytest.raises(GateError, match="1 of 1 runs did not come through") as failed:
        compare(tiny_recipe, methods=["ce"], seeds=1, run_dir=tmp_path / "c", report=False, quiet=True)
    assert failed.value.report is None and read_comparison(tmp_path / "c") is None
