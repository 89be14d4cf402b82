"""How figures of a comparison are written, wherever they are: in per cent and points, with two decimals."""

import re

from pipeline.comparison.analysis import ArmFigures
from pipeline.evaluation.paired import PairedDifference, Spread

NONE = "—"


def percent(share: float) -> str:
    """`0.7911` → `79.11`."""
    return f"{100 * share:.2f}"


def points(share: float) -> str:
    """`0.007` → `+0.70`; what rounds to nothing has no sign."""
    value = round(100 * share, 2)
    return f"{value:+.2f}" if value else "0.00"


def spread(values: Spread) -> str:
    """`79.11 ± 0.70`, or the mean alone where one value has no spread."""
    return percent(values.mean) if values.std is None else f"{percent(values.mean)} ± {percent(values.std)}"


def nats(values: Spread | None) -> str:
    """`0.812 ± 0.011`, in nats."""
    if values is None:
        return NONE
    return f"{values.mean:.3f}" if values.std is None else f"{values.mean:.3f} ± {values.std:.3f}"


def difference(paired: PairedDifference | Spread) -> str:
    """`+0.70 ± 0.21`."""
    return points(paired.mean) if paired.std is None else f"{points(paired.mean)} ± {percent(paired.std)}"


def interval(bounds: tuple[float, float]) -> str:
    """`[+0.10, +1.30]`."""
    return f"[{points(bounds[0])}, {points(bounds[1])}]"


def seconds(values: Spread) -> str:
    """The mean, with as many digits as are worth reading."""
    return f"{values.mean:.1f}" if values.mean < 100 else f"{values.mean:.0f}"


def seeds(figures: ArmFigures) -> str:
    """How many, and which: `1 (seed 0)`, `3 (seeds 0, 1, 2)`."""
    ran = [str(result.seed) for result in figures.arm.seeds]
    return f"{len(ran)} ({'seed' if len(ran) == 1 else 'seeds'} {', '.join(ran)})"


def code(text: str) -> str:
    """A name as Markdown's code."""
    return f"`{text.replace('`', chr(39))}`"


def without_marks(text: str) -> str:
    """A sentence of the report without Markdown's marks of bold, italic and code."""
    return re.sub(r"\*([^*]+)\*", r"\1", text.replace("**", "").replace("`", ""))
