from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("torch")

from pipeline.recipe import load_recipe
from pipeline.report.page.facts import read_facts
from pipeline.report.page.figures.from_facts import figures_of_files
from pipeline.report.page.steps import page_steps
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.conftest import Run


def names(run: Run) -> list[str]:
    facts = read_facts(RunDirectory(run.directory), load_recipe(run.recipe).recipe)
    with page_steps(0) as steps:
        return list(steps.draw(figures_of_files(facts)))


def test_finished_run_has_all_figures_of_its_files(finished: tuple[Run, object]) -> None:
    expected = ["training-curves", "training-time", "class-accuracy", "confusion-matrix", "reliability"]
    assert names(finished[0]) == expected


def test_run_that_was_not_validated_has_those_of_its_training(run: Run) -> None:
    for path in (run.directory / "validate").iterdir():
        path.unlink()
    assert names(run) == ["training-curves", "training-time"]


def test_run_without_anything_has_none(run: Run, tmp_path: Path) -> None:
    assert names(Run(run.recipe, run.data, tmp_path / "empty")) == []
