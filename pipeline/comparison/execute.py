"""Running the arms of a comparison in ordinary run directories, which share whatever follows from the same inputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.core.errors import GateError, TmkdError
from pipeline.comparison.ahead import show_ahead
from pipeline.comparison.arms import Arm, Source
from pipeline.comparison.planned import CACHE, run_name
from pipeline.preflight import Preflight
from pipeline.preflight.base import Report
from pipeline.runner.engine import execute
from pipeline.runner.planning import plan
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.names import STAGE_NAMES
from pipeline.stages.registry import STAGES
from pipeline.tracking.arms import tracked_as_arm
from pipeline.tracking.live import tracked
from pipeline.tracking.registry import require_installed

if TYPE_CHECKING:
    from pipeline.console import Console
    from pipeline.recipe.schema.recipe import Recipe

LAST_STAGE = "validate"


@dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison: an arm under a seed, and where it goes."""

    arm: Arm
    seed: int
    directory: RunDirectory

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.arm.name}, seed {self.seed}"


def plan_runs(folder: Path, source: Source, arms: Sequence[Arm], seeds: Sequence[int]) -> list[PlannedRun]:
    """Every run, seed by seed; within a seed those first whose teacher sees most, so that the others find its cache."""

    def views(arm: Arm) -> int:
        distill = source.load_arm(arm, seeds[0]).distill
        return len(distill.possible_views) if distill.uses_views else 0

    ordered = sorted(arms, key=views, reverse=True)
    return [
        PlannedRun(arm, seed, RunDirectory(folder / run_name(arm.name, seed), cache=folder / CACHE))
        for seed in seeds
        for arm in ordered
    ]


def execute_runs(
    folder: Path, source: Source, runs: Sequence[PlannedRun], console: "Console"
) -> tuple[dict[str, str], bool]:
    """Run what is not finished.

    Args:
        folder: of the comparison.
        source: its recipe.
        runs: of `plan_runs`.
        console: for what a person should see.

    Returns:
        Label → message of the runs whose training did not come through; the others went on. And whether anything ran.

    Raises:
        TmkdError: something that no run can do without is missing or wrong; says in which run it showed.
    """
    require_installed(source.load().track.to)
    failed: dict[str, str] = {}
    # One object a directory: what it has hashed is not hashed again.
    directories = {run.directory.path: run.directory for run in runs}
    finished = {run.label for run in runs if _is_finished(run, source.load_arm(run.arm, run.seed))}
    _check_arms(source, [run for run in runs if run.label not in finished], console)
    show_ahead([(run.arm.name, run.directory, run.label in finished) for run in runs], console)
    arms = {run.arm.name: source.load_arm(run.arm, run.seed) for run in runs}
    for number, run in enumerate(runs, start=1):
        recipe = tracked_as_arm(source.load_arm(run.arm, run.seed), folder, run.directory.path)
        progress = f"run {number} of {len(runs)}: {run.label}"
        if run.label in finished:
            console.say(f"══ {progress}: finished before")
            with tracked(run.directory, recipe, console, LAST_STAGE):
                continue  # it may have finished before it was tracked
        console.say(f"══ {progress}")
        try:
            donors = [other for other in _runs_in(folder, directories) if other.path != run.directory.path]
            rivals = tuple(arms.values())
            with tracked(run.directory, recipe, console, LAST_STAGE):
                execute(STAGES, recipe, run.directory, console, Preflight, LAST_STAGE, donors=donors, rivals=rivals)
        except GateError as error:  # training diverged: a result like any other
            console.warn(f"{run.label}: {error.message}")
            failed[run.label] = error.message
        except TmkdError as error:
            error.message = f"{run.label}: {error.message}"
            raise
    return failed, len(finished) < len(runs)


def _is_finished(run: PlannedRun, recipe: "Recipe") -> bool:
    planned = plan(STAGES, recipe, run.directory)[: STAGE_NAMES.index(LAST_STAGE) + 1]
    return all(stage.action in ("reuse", "skip") for stage in planned)


def _check_arms(source: Source, runs: Sequence[PlannedRun], console: "Console") -> None:
    """Index the data for the first run, and let the checks of `pipeline.preflight` see every arm before one is trained.

    Raises:
        TmkdError: what was found, each with the arms that it concerns.
    """
    if not runs:
        return
    first = runs[0]
    donors = [run.directory for run in runs[1:]]
    recipe = source.load_arm(first.arm, first.seed)
    execute(STAGES, recipe, first.directory, console, Preflight, until="data", donors=donors)
    found: dict[str, tuple[TmkdError, list[str]]] = {}
    for run in {run.arm.name: run for run in reversed(runs)}.values():
        recipe = source.load_arm(run.arm, run.seed)
        reached = STAGES[: STAGE_NAMES.index(LAST_STAGE) + 1]
        wanted = [stage.name for stage in reached if stage.skipped(recipe) is None]
        preflight = Preflight(recipe, first.directory, wanted, partial(list, wanted), lambda _warning: None)
        try:
            preflight.before_first_stage(wanted)
            preflight.before_training()
        except TmkdError as error:
            found.setdefault(str(error), (error, []))[1].append(run.arm.name)
    report = Report()
    for problem, arms in found.values():
        problem.message = f"{', '.join(sorted(arms))}: {problem.message}"
        report.add(problem)
    report.raise_errors()


def _runs_in(folder: Path, known: dict[Path, RunDirectory]) -> Iterator[RunDirectory]:
    """The run directories of this comparison and of earlier ones, finished or not; new ones are added to `known`."""
    for path in sorted((folder / "runs").glob("*/seed-*")):
        yield known.setdefault(path, RunDirectory(path))
