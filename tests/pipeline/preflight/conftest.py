"""A run whose stage `data` is done, and the checks that would follow it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.core.errors import TmkdError
from pipeline.preflight import Preflight
from pipeline.preflight.base import Report, Subject
from pipeline.recipe import load_recipe
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.conftest import run_command

TRAINING = ("teacher", "text", "fusion", "distill")

Check = Callable[[Subject, Report], None]


@pytest.fixture(scope="session")
def indexed(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with the index of the tiny data set; no test may change it."""
    folder = tmp_path_factory.mktemp("indexed") / "run"
    outcome = run_command("run", tiny_recipe, "--run-dir", folder, "--until", "data")
    assert outcome.code == 0, outcome.err
    return folder


class Prospect:
    """The tiny recipe on an indexed data set, before anything is trained."""

    def __init__(self, recipe: Path, folder: Path) -> None:
        self.recipe = recipe
        self.folder = folder

    def subject(self, *overrides: str, stages: tuple[str, ...] = ("data", *TRAINING)) -> Subject:
        recipe = load_recipe(self.recipe, overrides).recipe
        return Subject(recipe, RunDirectory(self.folder), frozenset(stages))

    def report(self, check: Check, *overrides: str, stages: tuple[str, ...] = ("data", *TRAINING)) -> Report:
        """What one check finds."""
        report = Report()
        with report.collecting():
            check(self.subject(*overrides, stages=stages), report)
        return report

    def before_training(self, *overrides: str) -> tuple[TmkdError | None, list[str]]:
        """What all checks together find: the error, and the warnings."""
        recipe = load_recipe(self.recipe, overrides).recipe
        warnings: list[str] = []
        preflight = Preflight(recipe, RunDirectory(self.folder), ("data", *TRAINING), lambda: TRAINING, warnings.append)
        try:
            preflight.before_first_stage(TRAINING)
            preflight.before_training()
        except TmkdError as error:
            return error, warnings
        return None, warnings


@pytest.fixture
def prospect(tiny_recipe: Path, indexed: Path) -> Prospect:
    pytest.importorskip("torch")
    return Prospect(tiny_recipe, indexed)
