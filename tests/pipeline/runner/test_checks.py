import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from pipeline.console import Console
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.engine import execute
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.runner.stages import RECIPE, Line


class Recording:
    """Checks that record what they are asked, and may report something missing."""

    def __init__(self, *, missing: bool = False) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        self.missing = missing

    def make(
        self,
        recipe: Recipe,
        run: RunDirectory,
        wanted: Sequence[str],
        pending: Callable[[], Iterable[str]],
        warn: Callable[[str], None],
    ) -> "Recording":
        self.asked.append(("made", list(wanted)))
        return self

    def before_first_stage(self, certain: Iterable[str]) -> None:
        self.asked.append(("before the first stage", list(certain)))

    def before_training(self) -> None:
        self.asked.append(("before training", []))
        if self.missing:
            raise UnavailableError("no such network")


def run(line: Line, checks: Recording) -> None:
    execute(line.stages, RECIPE, line.directory, Console(io.StringIO(), plain=True), checks.make)


def test_checks_are_made_before_stages_that_run_and_not_for_reused_ones(tmp_path: Path) -> None:
    line, first, again = Line(tmp_path), Recording(), Recording()
    run(line, first)
    assert first.asked[:2] == [("made", ["a", "b", "c"]), ("before the first stage", ["a", "b", "c"])]
    assert first.asked[2:] == [("before training", [])] * 2  # of b and c, which have a stage before them
    run(line, again)
    assert again.asked == [("made", ["a", "b", "c"]), ("before the first stage", [])]


def test_failed_check_ends_the_run_before_the_stage(tmp_path: Path) -> None:
    line = Line(tmp_path)
    with pytest.raises(UnavailableError, match="no such network"):
        run(line, Recording(missing=True))
    assert line.status() == ["done", None, None]
