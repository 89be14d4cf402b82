"""A variant ships only if it is faster, and surely so."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap

from exporters.benchmark import is_useful, times_as_fast
from exporters.core.errors import UsageError


def figures(milliseconds: Any) -> dict[str, Any]:
    return {"round_p50_ms": [float(value) for value in milliseconds]}


def noisy(mean: float, spread: float, seed: int, count: int = 20) -> np.ndarray:
    return mean * np.exp(np.random.default_rng(seed).normal(0, spread, count))


def test_the_interval_is_that_of_a_paired_bootstrap() -> None:
    ours, theirs = noisy(2.0, 0.2, 1), noisy(3.0, 0.2, 2)
    found = times_as_fast(figures(ours), figures(theirs))
    reference = bootstrap(
        (ours, theirs), lambda a, b, axis=-1: np.median(b, axis=axis) / np.median(a, axis=axis),
        paired=True, vectorized=True, method="percentile", n_resamples=20_000, random_state=np.random.default_rng(5),
    ).confidence_interval  # fmt: skip
    assert found.ratio == pytest.approx(np.median(theirs) / np.median(ours))
    assert found.low == pytest.approx(reference.low, rel=0.03)
    assert found.high == pytest.approx(reference.high, rel=0.03)
    assert times_as_fast(figures(ours), figures(theirs)) == found


def test_common_load_does_not_widen_the_interval() -> None:
    load = noisy(1.0, 0.8, 3)
    together = times_as_fast(figures(2 * load), figures(3 * load))
    assert together.ratio == pytest.approx(1.5)
    assert (together.low, together.high) == (pytest.approx(1.5), pytest.approx(1.5))


@pytest.mark.parametrize(
    ("variant", "useful", "reason"),
    [
        (noisy(5.0, 0.02, 4), True, "times as fast as fp32"),
        (noisy(10.0, 0.02, 4), False, "at least 1.05 times is asked for"),
        (noisy(20.0, 0.02, 4), False, "at least 1.05 times is asked for"),
        (np.where(np.arange(20) % 20 < 11, 8.0, 40.0), False, "does not show that it is faster at all"),
    ],
    ids=["twice as fast", "the same", "slower", "faster in half of the rounds"],
)
def test_variant_is_useful_only_if_surely_faster(variant: np.ndarray, useful: bool, reason: str) -> None:
    decided, explanation = is_useful(figures(variant), figures(noisy(10.0, 0.02, 5)))
    assert decided is useful and reason in explanation and "95 % interval" in explanation and "20 rounds" in explanation


def test_required_speedup_can_be_raised() -> None:
    variant, fp32 = figures(noisy(5.0, 0.02, 4)), figures(noisy(10.0, 0.02, 5))
    assert is_useful(variant, fp32, at_least=1.9)[0]
    assert not is_useful(variant, fp32, at_least=2.2)[0]


@pytest.mark.parametrize(
    ("ours", "theirs"), [([1.0] * 20, [1.0] * 19), ([1.0] * 4, [1.0] * 4), ([], []), ([0.0] * 9, [1.0] * 9)]
)
def test_incomparable_rounds_are_refused(ours: list[float], theirs: list[float]) -> None:
    with pytest.raises(UsageError):
        times_as_fast(figures(ours), figures(theirs))
    with pytest.raises(UsageError):
        is_useful({}, figures(theirs))
