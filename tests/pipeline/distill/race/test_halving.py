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


def test_best_third_goes_on_with_plain_training() -> None:
    scores = alone(ce=0.1, a=0.5, b=0.9, c=0.4, d=0.7, e=0.6, f=0.2, g=0.3, h=0.8, i=0.65)
    assert survivors(scores, 3) == ("ce", "b", "d", "h")
    assert survivors(scores, 10) == ("ce", "b", "h")  # two at least


def test_of_equals_the_more_likely_goes_on_and_wins_and_then_the_first() -> None:
    scores = {"ce": (0.5, -0.4), "a": (0.5, -0.4), "b": (0.5, -0.5), "c": (0.5, -0.3), "d": (0.4, -0.1)}
    assert survivors(scores, 3) == ("ce", "a", "c") and winner(scores) == "c"
    assert survivors(alone(ce=0.5, a=0.5, b=0.5, c=0.5), 3) == ("ce", "a", "b")
    assert winner(alone(ce=0.5, a=0.5)) == "ce" and winner(alone(ce=0.5, a=0.6, b=0.6)) == "a"


@given(SCORES, st.integers(2, 10))
def test_nothing_that_goes_on_is_worse_than_what_is_left_out(
    scores: dict[str, tuple[float, float]], reduction: int
) -> None:
    kept = survivors(scores, reduction)
    others = [name for name in kept if name != "ce"]
    assert "ce" in kept and len(others) == min(len(scores) - 1, max(2, (len(scores) - 1) // reduction))
    assert list(kept) == [name for name in scores if name in kept]
    assert all(scores[out] <= min(scores[name] for name in others) for out in set(scores) - set(kept))
    assert scores[winner(scores)] == max(scores.values())
