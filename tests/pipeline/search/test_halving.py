"""Rungs, and who goes on."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.distill.race.halving import rung_epochs
from pipeline.search.front import Point
from pipeline.search.halving import schedule, survivors


@given(st.integers(1, 500), st.integers(0, 5), st.integers(2, 10))
def test_schedule_rises_to_the_whole_schedule(epochs: int, rungs: int, reduction: int) -> None:
    lengths = schedule(epochs, rungs, reduction)
    assert lengths[-1] == epochs and list(lengths) == sorted(set(lengths))
    assert len(lengths) <= rungs + 1
    if rungs:
        assert set(lengths) - {epochs} == set(rung_epochs(epochs, rungs, reduction)) - {epochs}


def test_schedule_of_short_trainings() -> None:
    assert schedule(240, 2, 3) == (27, 80, 240)
    assert schedule(2, 2, 3) == (2,)
    assert schedule(1, 3, 3) == (1,)
    assert schedule(90, 0, 3) == (90,)


def test_a_smaller_and_less_accurate_student_goes_on() -> None:
    scores = {"large": 0.9, "small": 0.6, "slow": 0.5}
    costs = {"large": [(10.0, 1000)], "small": [(1.0, 100)], "slow": [(20.0, 2000)]}
    assert survivors(scores, costs, 3) == ("large", "small")


def test_of_methods_of_one_student_the_better_goes_on() -> None:
    costs = {name: [(10.0, 1000), (5.0, 300)] for name in ("ce", "kd", "tmkd")}
    assert survivors({"ce": 0.5, "kd": 0.7, "tmkd": 0.6}, costs, 3) == ("kd",)
    assert survivors({"ce": 0.5, "kd": 0.7, "tmkd": 0.6}, costs, 2) == ("kd", "tmkd")


@given(
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=2),
        st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.floats(0.1, 10), st.integers(1, 5)),
        min_size=1,
        max_size=8,
    ),
    st.integers(2, 4),
)
def test_survivors_hold_all_that_nothing_beats_and_the_most_accurate(
    drawn: dict[str, tuple[float, float, int]], reduction: int
) -> None:
    scores = {name: values[0] for name, values in drawn.items()}
    kept = survivors(scores, {name: [values[1:]] for name, values in drawn.items()}, reduction)
    points = {name: Point(*values) for name, values in drawn.items()}
    for name, point in points.items():
        beaten = any(
            other != point and all(a <= b for a, b in zip(costs(other), costs(point), strict=True))
            for other in points.values()
            for costs in (lambda each: each.costs, lambda each: each.stepped)
            if costs(other) != costs(point)
        )
        if not beaten:
            assert name in kept
    assert scores[max(scores, key=lambda name: scores[name])] in {scores[name] for name in kept}
    assert len(kept) >= -(-len(scores) // reduction)
