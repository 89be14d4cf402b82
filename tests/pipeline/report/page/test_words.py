from pathlib import Path

import pytest

pytest.importorskip("torch")

from exporters.core.files import read_json, write_json
from pipeline.recipe import load_recipe
from pipeline.report.page.facts import read_facts
from pipeline.report.page.words import Words, words
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.conftest import Run


def told(run: Run) -> Words:
    recipe = load_recipe(run.recipe).recipe
    return words(read_facts(RunDirectory(run.directory), recipe), recipe, "runs/it", (10, 40), None)


def test_result_is_that_of_the_verdict(finished: tuple[Run, object]) -> None:
    run, found = finished[0], told(finished[0])
    test = read_json(run.directory / "validate" / "verdict.json")["student"]["chosen"]["test"]
    assert found.verdict == "Shipped"
    assert f"right on {100 * test['top1']:.2f} % of {test['images']} test images" in found.why[0]


def test_refusal_says_why_and_how_to_go_on(run: Run) -> None:
    record = read_json(run.directory / "stages" / "validate.json")
    write_json(
        run.directory / "stages" / "validate.json",
        record
        | {
            "status": "failed",
            "gate": True,
            "message": "the student does not pass: validate.min_top1\n  Train it longer.",
        },
    )
    found = told(run)
    assert found.verdict == "Refused: a gate failed"
    assert found.why[:2] == ["The student does not pass: validate.min_top1.", "Train it longer."]
    assert found.commands[0] == ("go on", "tmkd-pipeline run runs/it/recipe.lock.yaml --run-dir runs/it")


def test_unfinished_run_says_what_is_next(tmp_path: Path, tiny_recipe: Path) -> None:
    found = told(Run(tiny_recipe, tmp_path, tmp_path / "none"))
    assert (found.verdict, found.why) == ("Not finished", ["Done: nothing. Next: data."])
    assert set(found.tables) == {"recipe"}
