"""Minutes and gigabytes of each stage before anything is started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from exporters.core.errors import TmkdError
from pipeline.costs.counts import Counts, counts_of_index, counts_of_listing, saved_index
from pipeline.costs.seconds import Seconds, total
from pipeline.costs.storage import bytes_of
from pipeline.costs.work import work_of
from pipeline.data.indexing import read_listing
from pipeline.distill.settings import AUTO
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.planning import PlannedStage
from pipeline.runner.rundir import RunDirectory

if TYPE_CHECKING:
    from pipeline.costs.probe import Prices

Basis = Literal["probe", "measured", "reused", ""]


@dataclass(frozen=True)
class StageCost:
    """What is left to pay for a stage.

    Attributes:
        stage: its name.
        seconds: that it takes; 0 where it is reused or skipped.
        disk: bytes that it needs at most.
        basis: `probe`; `measured` where a run here has said how far such an estimate is off; `reused`; empty where
            the recipe skips the stage.
    """

    stage: str
    seconds: Seconds
    disk: int
    basis: Basis


@dataclass(frozen=True)
class Estimate:
    """What a run costs from here.

    Attributes:
        stages: in their order.
        counts: of the images.
        prices: of the machine.
    """

    stages: tuple[StageCost, ...]
    counts: Counts
    prices: "Prices"

    @property
    def seconds(self) -> Seconds:
        """Of all stages."""
        return sum((stage.seconds for stage in self.stages), Seconds())

    @property
    def disk(self) -> int:
        """Of all stages."""
        return sum(stage.disk for stage in self.stages)


def estimate_run(
    recipe: Recipe, run: RunDirectory, planned: Sequence[PlannedStage], *, quick: bool = False
) -> Estimate:
    """Look at a few images and try each network for a moment, and multiply.

    Args:
        recipe: the recipe.
        run: its directory, whose index and whose measured seconds are used where there are any.
        planned: what is to be done, of `pipeline.runner.planning.plan`.
        quick: try each operation twice alone, on fewer images, for an estimate that is rougher.

    Raises:
        UnavailableError: the data set is not there, or not the device.
        UsageError: networks that cannot be built.
    """
    from dataclasses import replace

    actions = {each.stage: each.action for each in planned}
    index = saved_index(run, usable=actions["data"] == "reuse")
    # Data that are not there are said before torch loads.
    listing = read_listing(recipe.data) if index is None else None
    from pipeline.costs.loading import (
        fits_in_memory,
        loading_prices,
        sample_index,
        sample_listing,
        sample_size,
        timed,
    )
    from pipeline.costs.probe import probe_networks

    images = sample_size(recipe) // (4 if quick else 1)
    if index is None:
        assert listing is not None
        counts, (sampled, checked) = counts_of_listing(listing, recipe.data), sample_listing(listing, recipe, images)
    else:
        counts, sampled, checked = counts_of_index(index), sample_index(index, images), Seconds()
    del index, listing  # of a million images; the networks need the room
    cached = fits_in_memory(sampled, counts.images) and recipe.data.workers in ("auto", 0)
    found: dict[str, Prices] = {}

    def look() -> None:
        found["prices"] = probe_networks(recipe, counts, sampled.classes, 0.0 if quick else None)

    took = timed(look)
    prices = found["prices"]
    prices = replace(
        prices, prices=prices.prices | loading_prices(sampled, recipe) | {"index": checked}, took=took.wall
    )
    return Estimate(tuple(costs_of(recipe, run, actions, counts, prices, cached)), counts, prices)


def costs_of(
    recipe: Recipe,
    run: RunDirectory,
    actions: Mapping[str, str],
    counts: Counts,
    prices: "Prices",
    cached: bool,
) -> list[StageCost]:
    """The cost of each stage at the prices of a machine.

    Args:
        recipe: the recipe.
        run: its directory.
        actions: stage → what is to be done, in the order of the stages.
        counts: of the images.
        prices: of every operation that is needed.
        cached: whether decoded images are kept in memory.
    """
    work = work_of(_allowed(recipe, prices), counts, cached=cached)
    parameters = {name: size.parameters for name, size in prices.sizes.items()}
    disk = bytes_of(recipe, counts, parameters, prices.cache_row, prices.seen_row)
    before = earlier_recipe(recipe, run)
    earlier = {} if before is None else work_of(_allowed(before, prices), counts, cached=cached)
    costs = []
    checks = prices.prices["checks"]
    for stage, action in actions.items():
        if action == "skip" or stage not in work:
            costs.append(StageCost(stage, Seconds(), 0, ""))
        elif action == "reuse":
            costs.append(StageCost(stage, Seconds(), 0, "reused"))
        else:
            seconds, basis = total(work[stage], prices.prices), "probe"
            factor = _correction(run, stage, earlier, prices)
            if factor is not None:
                seconds, basis = Seconds(seconds.wall * factor, seconds.cpu), "measured"
            if stage != "data":  # the first stage that reads another one's files has all checks before it
                seconds, checks = seconds + checks, Seconds()
            costs.append(StageCost(stage, seconds, disk.get(stage, 0), basis))  # type: ignore[arg-type]
    return costs


def _allowed(recipe: Recipe, prices: "Prices") -> Recipe:
    """The recipe, of whose race those candidates are left that the networks allow."""
    distill = recipe.distill
    if distill.method != AUTO or not prices.candidates:
        return recipe
    names = tuple(each.name for each in distill.candidates if each.name in prices.candidates)
    auto = distill.auto.model_copy(update={"candidates": names})
    return recipe.model_copy(update={"distill": distill.model_copy(update={"auto": auto})})


def earlier_recipe(recipe: Recipe, run: RunDirectory) -> Recipe | None:
    """The recipe that the run directory's seconds were measured under, if its networks and images are of the same
    size, and run by the same means; None otherwise."""
    from pipeline.recipe import load_recipe

    path = run.path / "recipe.lock.yaml"
    if not path.is_file():
        return None
    try:
        before = load_recipe(str(path), ()).recipe
    except TmkdError:  # of another version
        return None
    same = (
        before.data.image_size == recipe.data.image_size
        and recipe.device in (before.device, "auto")  # which a lock writes out
        and before.student.model == recipe.student.model
        and before.student.arguments == recipe.student.arguments
        and before.teacher.visual.model == recipe.teacher.visual.model
        and before.teacher.visual.arguments == recipe.teacher.visual.arguments
        and before.teacher.text.model == recipe.teacher.text.model
        and before.teacher.runtime == recipe.teacher.runtime
        and compiled_networks(before) == compiled_networks(recipe)
    )
    return before if same else None


def compiled_networks(recipe: Recipe) -> tuple[str, ...]:
    """What is compiled, which takes minutes at first that no trial tells: the keys that ask for it."""
    fit = recipe.teacher.visual.fit
    asked = {
        "train.compile": recipe.train.compile,
        "teacher.visual.fit.compile": fit is not None and fit.compile,
        "teacher.runtime": recipe.teacher.runtime == "compile",
    }
    return tuple(key for key, is_asked in asked.items() if is_asked)


def _correction(
    run: RunDirectory, stage: str, earlier: Mapping[str, Mapping[str, float]], prices: "Prices"
) -> float | None:
    """Seconds that a stage once took here, over those that it would have been given; None where it is not known."""
    record = run.record(stage)
    if record is None or record.status != "done" or not record.seconds or stage not in earlier:
        return None
    try:
        expected = total(earlier[stage], prices.prices).wall
    except KeyError:  # what was measured did something else
        return None
    return record.seconds / expected if expected else None
