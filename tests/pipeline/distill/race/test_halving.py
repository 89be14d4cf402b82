import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.distill.race.halving import rung_epochs, survivors, winner

PAIRS = st.tuples(st.integers(0, 3).map(float), st.integers(-3, 0).map(float))
SCORES = st.dictionaries(st.sampled_from([f"method {n}" for n in range(20)]), PAIRS, min_size=1).map(
    lambda scores: {"ce": (2.0, -1.0), **scores}
)


@pytest.mark.parametrize(
    ("epochs", "rungs", "reduction", "expected"),
    [
        (240, 2, 3, (27, 80)),
        (30, 2, 3, (3, 10)),
        (9, 2, 3, (2, 3)),
        (6, 2, 3, (2,)),
        (1, 2, 3, (1,)),
        (64, 3, 2, (8, 16, 32)),
        (100, 1, 10, (10,)),
    ],
)
def test_rungs_are_fractions_of_the_schedule(epochs: int, rungs: int, reduction: int, expected: tuple) -> None:
    assert rung_epochs(epochs, rungs, reduction) == expected


@given(st.integers(1, 100_000), st.integers(1, 5), st.integers(2, 10))
def test_rungs_rise_and_stay_within_the_schedule(epochs: int, rungs: int, reduction: int) -> None:
    lengths = rung_epochs(epochs, rungs, reduction)
    assert 1 <= len(lengths) <= rungs and list(lengths) == sorted(set(lengths))
    assert min(2, epochs) <= lengths[0] and lengths[-1] <= epochs
    if epochs >= 2 * reduction**rungs:
        assert len(lengths) == rungs and lengths[-1] == pytest.approx(epochs / reduction, abs=0.51)


def alone(**accuracies: float) -> dict[str, tuple[float, float]]:
    """Accuracies that nothing else decides between."""
    return {name: (accuracy, 0.0) for name, accuracy in accuracies.items()}


MANY = 10**9
"""Images, so many that one standard error tells any two of these accuracies apart."""


def test_best_third_goes_on_with_plain_training() -> None:
    scores = alone(ce=0.1, a=0.5, b=0.9, c=0.4, d=0.7, e=0.6, f=0.2, g=0.3, h=0.8, i=0.65)
    assert survivors(scores, 3, MANY, list(scores)) == ("ce", "b", "d", "h")
    assert survivors(scores, 10, MANY, list(scores)) == ("ce", "b", "h")  # two at least


def test_best_goes_on_and_then_what_is_preferred_among_those_within_one_standard_error() -> None:
    # Of 300 images 11.3 % have a standard error of 1.8 points: e is as good as b, and c is not.
    scores = alone(ce=0.11, a=0.1067, b=0.1133, c=0.0833, d=0.1033, e=0.1, f=0.09)
    preferred = ["c", "e", "d", "a", "b", "f", "ce"]
    assert survivors(scores, 2, 300, preferred) == ("ce", "b", "d", "e")
    assert survivors(scores, 2, 30_000, preferred) == ("ce", "a", "b", "d")


def test_winner_is_the_preferred_one_within_one_standard_error_of_the_best() -> None:
    preferred = ["b", "a", "ce"]
    assert winner(alone(ce=0.23, a=0.2267, b=0.13), 300, preferred) == "a"
    assert winner(alone(ce=0.23, a=0.2267, b=0.13), 300_000, preferred) == "ce"
    assert winner(alone(ce=0.94, a=0.53, b=0.92), 48, preferred) == "b"
    assert winner(alone(ce=1.0, a=0.9, b=0.5), 48, preferred) == "ce"
    assert winner(alone(ce=0.0, a=0.0), 1, preferred) == "a"


@given(SCORES, st.integers(2, 10), st.integers(1, 10**6), st.randoms())
def test_nothing_that_goes_on_is_far_behind_what_is_left_out(
    scores: dict[str, tuple[float, float]], reduction: int, images: int, random: Random
) -> None:
    scores = {name: (accuracy / 3, nll) for name, (accuracy, nll) in scores.items()}
    preferred = random.sample(sorted(scores), len(scores))
    kept = survivors(scores, reduction, images, preferred)
    others = [name for name in kept if name != "ce"]
    assert "ce" in kept and len(others) == min(len(scores) - 1, max(2, (len(scores) - 1) // reduction))
    assert list(kept) == [name for name in scores if name in kept]
    best = max((scores[name][0] for name in scores if name != "ce"), default=0)
    error = math.sqrt((best * images + 1) / (images + 2) * ((1 - best) * images + 1) / (images + 2) / images)
    for out in set(scores) - set(kept):  # it is no better than each that goes on, or that one is as good as the best
        assert all(scores[name] >= scores[out] or scores[name][0] >= best - error - 1e-12 for name in others)
    assert not others or max(scores[name][0] for name in others) == best


@given(SCORES, st.integers(1, 10**6), st.randoms())
def test_winner_is_not_behind_the_best_by_more_than_one_standard_error(
    scores: dict[str, tuple[float, float]], images: int, random: Random
) -> None:
    scores = {name: (accuracy / 3, nll) for name, (accuracy, nll) in scores.items()}
    preferred = random.sample(sorted(scores), len(scores))
    won, best = winner(scores, images, preferred), max(accuracy for accuracy, _ in scores.values())
    error = math.sqrt((best * images + 1) / (images + 2) * ((1 - best) * images + 1) / (images + 2) / images)
    assert scores[won][0] >= best - error - 1e-12
    better = preferred[: preferred.index(won)]
    assert all(scores[name][0] < best - error + 1e-12 for name in better)
