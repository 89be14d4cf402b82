"""An estimate for people: a table of the stages, and lines on what it rests on."""

from collections.abc import Sequence

from pipeline.costs.estimate import Estimate, StageCost
from pipeline.runner.planning import PlannedStage
from pipeline.runner.reasons import brief

COLUMNS = ("stage", "minutes", "processor minutes", "GB", "from")


def cost_table(estimate: Estimate) -> tuple[str, Sequence[str], list[list[str]]]:
    """Title, columns and rows: one for each stage that is still to be paid for, and their sum."""
    rows = [_row(stage) for stage in estimate.stages if stage.basis in ("probe", "measured")]
    whole = StageCost("all", estimate.seconds, estimate.disk, "")
    title = f"Estimated for {estimate.counts.train:,} training, {estimate.counts.validation:,} validation and"
    return f"{title} {estimate.counts.test:,} test images on {estimate.prices.device}", COLUMNS, [*rows, _row(whole)]


def _row(stage: StageCost) -> list[str]:
    basis = {"probe": "a trial", "measured": "a trial and an earlier run"}.get(stage.basis, "")
    wall, cpu = stage.seconds.wall / 60, stage.seconds.cpu / 60
    return [stage.stage, _number(wall), _number(cpu), _number(stage.disk / 1e9), basis]


def plan_row(step: PlannedStage, cost: StageCost | None, with_costs: bool) -> list[str]:
    """A stage that is not reused: its name, what is done and why, and its minutes and gigabytes, empty if unknown."""
    row = [step.stage, step.action, brief(step.why)]
    if not with_costs:
        return row
    return [*row, *(("", "") if cost is None else (_number(cost.seconds.wall / 60), _number(cost.disk / 1e9)))]


def _number(value: float) -> str:
    """Two figures at least: 0.02, 1.4, 38, 2,410."""
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def price_lines(estimate: Estimate, compiled: Sequence[str] = ()) -> list[str]:
    """What an image costs, and how fast the networks ran; and what the estimate leaves out.

    Args:
        estimate: the estimate.
        compiled: keys of the recipe by which networks are compiled.
    """
    prices, sizes = estimate.prices.prices, estimate.prices.sizes
    names = {
        "plain": ("a training step of the student from labels", "student", 3.0),
        "method": ("the same under the method", "student", 3.0),
        "look": ("all views through the teachers", "", 0.0),
        "teacher fit": ("a training step of the teacher", "teacher", 3.0),
        "decode": ("decoding", "", 0.0),
        "augment": ("augmentation", "", 0.0),
    }
    parts = []
    for name, (words, network, passes) in names.items():
        if name not in prices:
            continue
        seconds = prices[name].wall
        speed = f" ({passes * sizes[network].forward / seconds / 1e9:,.0f} GFLOP/s)" if network and seconds else ""
        parts.append(f"{words} {1e3 * seconds:.3g} ms{speed}")
    busy = max((price.wall / price.cpu for price in (prices["plain"],) if price.cpu), default=1.0)
    lines = [f"An image costs: {'; '.join(parts)}. Found out in {estimate.prices.took:.0f} s."]
    if estimate.prices.device.startswith("cpu") and busy > 1.5:
        lines.append(
            f"The machine is busy: work took {busy:.1f} times as long as it kept a processor busy, and the minutes are"
            " those of a machine as busy as now."
        )
    compiling = f"compiling ({', '.join(compiled)}; minutes at first), " if compiled else ""
    lines.append(
        f"Not foreseen: {compiling}an early stop, downloads, the page of the run, and how long exact searches for int8"
        " and fp16 files take."
    )
    return lines
