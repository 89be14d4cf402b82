"""Making the checks of a run at its two moments, for the stages that will run."""

from collections.abc import Callable, Iterable, Sequence

from exporters.core.errors import TmkdError
from pipeline.preflight.base import Check, Report, Subject
from pipeline.preflight.registry import AFTER_DATA, BEFORE_FIRST_STAGE
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory


class Preflight:
    """The checks of one run.

    Args:
        recipe: the recipe.
        run: its directory.
        wanted: names of the stages on the way, those that may turn out to be reused among them.
        pending: gives the names of the stages that will not be reused; asked as rarely as possible, because it reads
            the outputs of earlier runs.
        warn: shows a warning.
    """

    def __init__(
        self,
        recipe: Recipe,
        run: RunDirectory,
        wanted: Sequence[str],
        pending: Callable[[], Iterable[str]],
        warn: Callable[[str], None],
    ) -> None:
        self._recipe = recipe
        self._run = run
        self._wanted = frozenset(wanted)
        self._pending = pending
        self._warn = warn
        self._made: set[Check] = set()
        self._trains = False

    def before_first_stage(self, certain: Iterable[str]) -> None:
        """Look at what follows from recipe and machine.

        Args:
            certain: names of the stages that run whatever the others give.

        Raises:
            TmkdError: something that a stage of this run needs is missing or wrong; all that was found in one message.
        """
        certain = self._wanted & frozenset(certain)
        report = self._make(BEFORE_FIRST_STAGE, self._wanted, certain)
        if report.errors and certain != self._wanted:
            # What is finished may need nothing any more.
            try:
                pending = self._wanted & frozenset(self._pending())
            except TmkdError:  # such as a data set that is not there: then nothing can be reused
                pending = self._wanted
            report = self._make(BEFORE_FIRST_STAGE, pending, pending)
        self._close(report)

    def before_training(self) -> None:
        """Look at what needs the classes and counts as well, once: when the first stage behind `data` really runs.

        Raises:
            TmkdError: as `before_first_stage`.
        """
        if self._trains:
            return
        self._trains = True
        pending = self._wanted & frozenset(self._pending())
        waiting = [check for check in BEFORE_FIRST_STAGE if check.slow and check not in self._made]
        self._close(self._make([*waiting, *AFTER_DATA], pending, pending))

    def _make(self, checks: Iterable[Check], stages: frozenset[str], certain: frozenset[str]) -> Report:
        """Make those checks that one of `stages` needs; slow ones for `certain` stages, and only while all is well."""
        report = Report()
        subject = Subject(self._recipe, self._run, stages)
        needed = [check for check in checks if check.stages & (certain if check.slow else stages)]
        for check in sorted(needed, key=lambda check: check.slow):
            if check.slow and report.errors and not self._trains:
                continue
            check.run(subject, report)
            self._made.add(check)
        return report

    def _close(self, report: Report) -> None:
        report.raise_errors()
        for warning in report.warnings:
            self._warn(warning)
