"""What a comparison's files say, for its page: of one that is finished, goes on, or was interrupted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from exporters.core.errors import TmkdError
from exporters.core.files import read_json
from pipeline.comparison.analysis import ArmFigures, analyse
from pipeline.comparison.planned import CACHE, RESULT, Planned, make_comparison, read_planned, read_results, run_name
from pipeline.comparison.results import Comparison
from pipeline.data.index import DataIndex
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.report.page.facts import Facts, read_facts
from pipeline.runner.rundir import RunDirectory

LAST_STAGE = "validate"


@dataclass(frozen=True)
class ArmRun:
    """One run of a comparison that has begun.

    Attributes:
        directory: its files.
        recipe: its recipe.
        facts: what they say.
    """

    directory: RunDirectory
    recipe: Recipe
    facts: Facts

    @property
    def finished(self) -> bool:
        """Whether its student was scored."""
        record = self.facts.records.get(LAST_STAGE)
        return record is not None and record.status == "done"


@dataclass(frozen=True)
class ComparisonFacts:
    """A comparison as far as it has come.

    Attributes:
        plan: what it was asked for.
        runs: arm → seed → its run, of those that have begun; in the order of the plan.
        missing: run, for people → why it is not among the results.
        comparison: the results; None where no run is finished.
        figures: what follows from them, as of `analyse`.
    """

    plan: Planned
    runs: Mapping[str, Mapping[int, ArmRun]]
    missing: Mapping[str, str]
    comparison: Comparison | None
    figures: tuple[ArmFigures, ...]

    @property
    def first_runs(self) -> dict[str, ArmRun]:
        """The finished run of each arm under the first seed under which all arms that have results are finished; where
        there is no such seed, each arm's first."""
        finished = {arm: {seed: run for seed, run in runs.items() if run.finished} for arm, runs in self.runs.items()}
        finished = {arm: runs for arm, runs in finished.items() if runs}
        common = [seed for seed in self.plan.seeds if finished and all(seed in runs for runs in finished.values())]
        return {arm: runs[common[0]] if common else next(iter(runs.values())) for arm, runs in finished.items()}

    @property
    def index(self) -> DataIndex | None:
        """The data; None where no run is finished."""
        return next((run.facts.index for run in self.first_runs.values()), None)


def read_comparison(folder: Path, warn: Callable[[str], None] = lambda _: None) -> ComparisonFacts:
    """Read what a comparison has left so far.

    Args:
        folder: of the comparison.
        warn: given the warnings of its runs' recipes.

    Raises:
        UsageError: what it was asked for cannot be read.
        UnavailableError: the results of a finished run cannot be read.
    """
    plan = read_planned(folder)
    runs: dict[str, dict[int, ArmRun]] = {}
    missing = {}
    for arm in plan.arms:
        runs[arm.name] = {}
        for seed in plan.seeds:
            run, why = _run(folder, run_name(arm.name, seed), warn)
            if run is not None:
                runs[arm.name][seed] = run
            if why:
                missing[f"{arm.name}, seed {seed}"] = why
    finished = {(arm, seed) for arm, of_arm in runs.items() for seed, run in of_arm.items() if run.finished}
    results = read_results(folder, plan, finished)
    comparison = make_comparison(folder, plan, results, [] if missing else _weaknesses(folder)) if results else None
    return ComparisonFacts(plan, runs, missing, comparison, () if comparison is None else analyse(comparison))


def _run(folder: Path, name: str, warn: Callable[[str], None]) -> tuple[ArmRun | None, str]:
    """A run, and why it has no results; empty where it has."""
    locked = folder / name / "recipe.lock.yaml"
    if not locked.is_file():
        return None, "not begun"
    try:
        recipe = load_recipe(str(locked)).warned(warn).recipe
    except TmkdError as error:
        return None, error.message
    directory = RunDirectory(folder / name, cache=folder / CACHE)
    run = ArmRun(directory, recipe, read_facts(directory, recipe))
    if run.finished:
        return run, ""
    return run, run.facts.message or f"not finished: next is the stage {run.facts.ended_at}"


def _weaknesses(folder: Path) -> list[str]:
    """As the report tells them."""
    try:
        return [str(each) for each in read_json(folder / RESULT)["weaknesses"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []
