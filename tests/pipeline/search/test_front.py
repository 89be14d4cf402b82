"""The front against brute force over all pairs, written apart from the code."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.search.front import Point, best, dominates, front

# Few values, so that ties and points within one step of latency are common.
POINTS = st.lists(
    st.builds(
        Point,
        st.sampled_from([0.5, 0.6, 0.7]),
        st.one_of(st.sampled_from([1.0, 1.01, 1.04, 1.2, 5.0]), st.floats(0.01, 100)),
        st.sampled_from([100, 200, 300]),
    ),
    max_size=12,
)


def plainly_dominates(one: Point, other: Point) -> bool:
    no_worse = one.top1 >= other.top1 and one.latency_ms <= other.latency_ms and one.size <= other.size
    return no_worse and (one.top1 > other.top1 or one.latency_ms < other.latency_ms or one.size < other.size)


def in_steps(point: Point) -> Point:
    """The same point with the lower end of its step of 5 % as its latency."""
    return Point(point.top1, 1.05 ** math.floor(math.log(point.latency_ms) / math.log(1.05)), point.size)


@given(POINTS)
def test_front_is_that_of_brute_force(points: list[Point]) -> None:
    stepped = [in_steps(point) for point in points]
    expected = [
        place
        for place in range(len(points))
        if not any(
            plainly_dominates(points[other], points[place]) or plainly_dominates(stepped[other], stepped[place])
            for other in range(len(points))
        )
    ]
    assert list(front(points)) == expected


@given(POINTS)
def test_nothing_on_the_front_is_dominated_and_it_is_empty_only_of_none(points: list[Point]) -> None:
    found = [points[place] for place in front(points)]
    assert bool(found) == bool(points)
    assert not any(plainly_dominates(one, other) for one in points for other in found)


@given(POINTS, st.randoms())
def test_front_does_not_depend_on_the_order(points: list[Point], random: "object") -> None:
    shuffled = list(points)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    key = Point.costs.fget
    assert key is not None
    assert sorted((points[place] for place in front(points)), key=key) == sorted(
        (shuffled[place] for place in front(shuffled)), key=key
    )


@given(POINTS)
def test_best_is_the_most_accurate_and_on_the_front(points: list[Point]) -> None:
    place = best(points)
    if not points:
        assert place is None
        return
    assert place is not None and place in front(points)
    assert points[place].top1 == max(point.top1 for point in points)


def test_of_equal_points_all_are_on_the_front_and_the_first_is_best() -> None:
    assert front([Point(0.5, 1.0, 100)] * 3) == (0, 1, 2)
    assert best([Point(0.5, 1.0, 100)] * 3) == 0


@pytest.mark.parametrize(("faster", "beaten"), [(1.0, True), (0.999, False)])
def test_a_smaller_file_wins_within_a_step_of_latency(faster: float, beaten: bool) -> None:
    small, large = Point(0.5, 1.04, 100), Point(0.5, faster, 200)
    assert dominates(small, large) is beaten
    assert not dominates(large, small)
