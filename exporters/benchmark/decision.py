"""Whether one runtime is faster than another, by the medians of interleaved rounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporters.core.errors import UsageError

_RESAMPLES = 2000
_FEWEST_ROUNDS = 5


@dataclass(frozen=True)
class Ratio:
    """How many times as fast, and the bounds of its 95 % interval."""

    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.ratio:.2f} times as fast (95 % interval {self.low:.2f} to {self.high:.2f})"


def times_as_fast(figures: Mapping[str, Any], reference: Mapping[str, Any]) -> Ratio:
    """The reference's median time over that of `figures`, both the median of the rounds' medians.

    The interval is a percentile bootstrap over rounds, sampled for both at once because round `k` of both ran at the
    same time on the same machine: what slowed one slowed both. The same figures give the same interval.

    Args:
        figures, reference: with `round_p50_ms`, from one interleaved measurement at one batch size.

    Raises:
        UsageError: rounds that do not belong together, or fewer than 5.
    """
    ours, theirs = _rounds(figures), _rounds(reference)
    if len(ours) != len(theirs) or len(ours) < _FEWEST_ROUNDS:
        raise UsageError(
            f"benchmark: {len(ours)} and {len(theirs)} rounds cannot be compared",
            remedy=f"Both need the same rounds, {_FEWEST_ROUNDS} or more, of one interleaved measurement.",
        )
    sampled = np.random.default_rng(0).integers(0, len(ours), (_RESAMPLES, len(ours)))
    ratios = np.median(theirs[sampled], axis=1) / np.median(ours[sampled], axis=1)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return Ratio(float(np.median(theirs) / np.median(ours)), float(low), float(high))


def is_useful(
    variant_figures: Mapping[str, Any], fp32_figures: Mapping[str, Any], *, at_least: float = 1.05
) -> tuple[bool, str]:
    """Is a variant worth shipping: `at_least` times as fast as fp32, and surely not slower?

    Both must hold: the ratio of the medians reaches `at_least`, and its 95 % interval lies above 1.

    Args:
        variant_figures, fp32_figures: as `times_as_fast` takes them; of `measure(…)["runtimes"]` two entries.
        at_least: how many times as fast it has to be.

    Returns:
        The decision, and the reason as one clause.

    Raises:
        UsageError: as `times_as_fast`.
    """
    ratio = times_as_fast(variant_figures, fp32_figures)
    rounds = len(_rounds(variant_figures))
    measured = (
        f"{ratio.ratio:.2f} times as fast as fp32 (95 % interval {ratio.low:.2f} to {ratio.high:.2f}, {rounds} rounds)"
    )
    if ratio.ratio < at_least:
        return False, f"{measured}; at least {at_least:g} times is asked for"
    if ratio.low <= 1:
        return False, f"{measured}; the interval does not show that it is faster at all"
    return True, measured


def _rounds(figures: Mapping[str, Any]) -> np.ndarray:
    values: Sequence[float] = figures.get("round_p50_ms", ())
    rounds = np.asarray(values, dtype=np.float64)
    if rounds.ndim != 1 or not np.all(rounds > 0) or not np.isfinite(rounds).all():
        raise UsageError("benchmark: round_p50_ms holds times above zero")
    return rounds
