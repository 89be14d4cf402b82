"""The checks that a run makes before its stages, as the engine sees them; `pipeline.preflight` has them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory


class Checks(Protocol):
    """The checks of one run."""

    def before_first_stage(self, certain: Iterable[str]) -> None:
        """Check what follows from recipe and machine, for the stages that are certain to run.

        Raises:
            TmkdError: something that a stage needs is missing or wrong.
        """

    def before_training(self) -> None:
        """Check what needs the data set's classes and counts; called when the first stage after `data` runs.

        Raises:
            TmkdError: as `before_first_stage`.
        """


MakeChecks = Callable[[Recipe, RunDirectory, Sequence[str], Callable[[], Iterable[str]], Callable[[str], None]], Checks]
"""Recipe, run directory, stages on the way, those of them that are not reused, how to warn → the checks of the run."""
