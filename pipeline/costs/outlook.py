"""What a run is about to do, for people: what is reused, and what the rest will take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporters.core.errors import TmkdError
from exporters.core.out_of_memory import is_out_of_memory
from exporters.core.wording import count_of
from pipeline.costs.table import plan_row
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.planning import PlannedStage
from pipeline.runner.rundir import RunDirectory

if TYPE_CHECKING:
    from pipeline.console import Console
    from pipeline.costs.estimate import StageCost

COLUMNS = ("stage", "action", "why", "minutes", "GB")

_TRAINED = frozenset({"baseline", "teacher", "text", "fusion", "race", "distill", "reference"})
"""Stages that a trial of the networks says something about; the others take about a minute together."""


@dataclass(frozen=True)
class Outlook:
    """The plan of a run with its costs.

    Attributes:
        planned: every stage on the way.
        costs: by stage, of those that are not reused; empty where nothing is known of them.
        basis: where the costs are from, in words; empty without costs.
    """

    planned: tuple[PlannedStage, ...]
    costs: "dict[str, StageCost]"
    basis: str


def outlook(
    recipe: Recipe, run: RunDirectory, planned: Sequence[PlannedStage], console: "Console", *, trial: bool
) -> Outlook:
    """What is ahead of a run.

    Where every stage that trains was measured in this run directory under the same recipe, its seconds then are taken;
    else the networks are tried for a moment. What cannot be estimated leaves the costs empty: the checks of the run say
    what is wrong.

    Args:
        recipe: the recipe.
        run: its directory.
        planned: what is to be done, of `pipeline.runner.planning.plan`.
        console: where it is said that networks are tried.
        trial: whether they may be.
    """
    pending = {step.stage for step in planned if step.action not in ("reuse", "skip")}
    whole = tuple(planned)
    if not pending:
        return Outlook(whole, {}, "")
    try:
        measured = _measured(recipe, run, pending)
    except TmkdError:  # such as an index that is damaged, and will be made again
        measured = {}
    if measured.keys() >= pending & _TRAINED:
        basis = "as long as they took here before" if measured else ""
        return Outlook(whole, measured, basis)
    if not trial:
        return Outlook(whole, {}, "")
    from pipeline.costs.estimate import compiled_networks, estimate_run

    try:
        with console.track("estimating: trying each network for a moment", None):
            estimate = estimate_run(recipe, run, planned, quick=True)
    except TmkdError:
        return Outlook(whole, {}, "")
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return Outlook(whole, {}, "")
    costs = {cost.stage: cost for cost in estimate.stages if cost.stage in pending}
    basis = f"estimated by a trial of {estimate.prices.took:.0f} s; `plan --cost` tries longer"
    if keys := compiled_networks(recipe):
        basis += f"; compiling ({', '.join(keys)}) takes minutes more at first"
    return Outlook(whole, costs, basis)


def _measured(recipe: Recipe, run: RunDirectory, pending: set[str]) -> "dict[str, StageCost]":
    """The costs of stages that were done here before, with the same work; loads no network."""
    from pipeline.costs.counts import counts_of_index, saved_index
    from pipeline.costs.estimate import StageCost, earlier_recipe
    from pipeline.costs.seconds import Seconds
    from pipeline.costs.work import work_of

    records = {stage: run.record(stage) for stage in pending}
    done = {stage: record for stage, record in records.items() if record is not None and record.status == "done"}
    index = saved_index(run, usable="data" not in pending or "data" in done) if done else None
    before = earlier_recipe(recipe, run) if index is not None else None
    if index is None or before is None:
        return {}
    counts = counts_of_index(index)
    now, then = (work_of(each, counts, cached=True) for each in (recipe, before))
    return {
        stage: StageCost(stage, Seconds(record.seconds), sum(_sizes(run, record.outputs)), "measured")
        for stage, record in done.items()
        if record.seconds and stage in now and now[stage] == then.get(stage)
    }


def _sizes(run: RunDirectory, outputs: dict[str, str]) -> list[int]:
    paths = [run.path / name for name in outputs]
    return [path.stat().st_size for path in paths if path.is_file()]


def show_outlook(ahead: Outlook, title: str, console: "Console") -> None:
    """Print what is reused, a table of what is not, and how long it will take."""
    reused = [step.stage for step in ahead.planned if step.action == "reuse"]
    pending = [step for step in ahead.planned if step.action not in ("reuse", "skip")]
    if not pending:
        console.say(f"plan: all {len(reused)} stages are reused")
        return
    columns = COLUMNS if ahead.costs else COLUMNS[:3]
    rows = [plan_row(step, ahead.costs.get(step.stage), bool(ahead.costs)) for step in pending]
    console.table(title, columns, rows, words=3)
    if reused:
        console.say(f"reused: {', '.join(reused)}")
    if ahead.costs:
        seconds = sum(cost.seconds.wall for cost in ahead.costs.values())
        disk = sum(cost.disk for cost in ahead.costs.values())
        console.say(f"about {in_words(seconds)} and at most {max(disk / 1e9, 0.01):,.2f} GB of disk, {ahead.basis}")


def in_words(seconds: float) -> str:
    """A time as people say it: `40 seconds`, `12 minutes`, `5.5 hours`, `3.2 days`."""
    for unit, length, most in (("seconds", 1, 90), ("minutes", 60, 90), ("hours", 3600, 48)):
        amount = seconds / length
        if amount < most:
            is_long = unit == "hours" and amount < 10
            return f"{amount:.1f} {unit}" if is_long else count_of(max(1, round(amount)), unit.removesuffix("s"))
    return f"{seconds / 86400:.1f} days"
