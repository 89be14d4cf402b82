import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.distill.race.halving import rung_epochs, survivors, winner

SCORES = st.dictionaries(st.sampled_from([f"method {n}" for n in range(20)]), st.integers(0, 5), min_size=1).map(
    lambda scores: {"ce": 3.0, **{name: float(score) for name, score in scores.items()}}
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


def test_best_third_goes_on_with_plain_training() -> None:
    scores = {"ce": 0.1, "a": 0.5, "b": 0.9, "c": 0.4, "d": 0.7, "e": 0.6, "f": 0.2, "g": 0.3, "h": 0.8, "i": 0.65}
    assert survivors(scores, 3) == ("ce", "b", "d", "h")
    assert survivors(scores, 10) == ("ce", "b", "h")  # two at least


def test_of_equals_the_first_goes_on_and_wins() -> None:
    assert survivors({"ce": 0.5, "a": 0.5, "b": 0.5, "c": 0.5}, 3) == ("ce", "a", "b")
    assert winner({"ce": 0.5, "a": 0.5}) == "ce" and winner({"ce": 0.5, "a": 0.6, "b": 0.6}) == "a"


@given(SCORES, st.integers(2, 10))
def test_nothing_that_goes_on_is_worse_than_what_is_left_out(scores: dict[str, float], reduction: int) -> None:
    kept = survivors(scores, reduction)
    others = [name for name in kept if name != "ce"]
    assert "ce" in kept and len(others) == min(len(scores) - 1, max(2, (len(scores) - 1) // reduction))
    assert list(kept) == [name for name in scores if name in kept]
    assert all(scores[out] <= min(scores[name] for name in others) for out in set(scores) - set(kept))
    assert scores[winner(scores)] == max(scores.values())
