"""In which order runtimes are called, how often, and what is made of the times."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.benchmark.rounds import ROUNDS, InProcess, balanced_orders, summarise, time_rounds, warm_up
from exporters.core.errors import UsageError
from tests.exporters.benchmark.fakes import Clock, Recording, images


@pytest.mark.parametrize("count", range(1, 10))
def test_each_place_and_each_neighbour_is_equally_frequent(count: int) -> None:
    orders = balanced_orders(count)
    assert all(sorted(order) == list(range(count)) for order in orders)
    places = Counter((place, index) for order in orders for place, index in enumerate(order))
    neighbours = Counter(pair for order in orders for pair in pairwise(order))
    assert len(places) == count**2 and len(set(places.values())) == 1
    if count > 1:
        assert len(neighbours) == count * (count - 1) and len(set(neighbours.values())) == 1


def test_rounds_follow_the_orders_and_the_first_call_of_a_turn_is_not_counted() -> None:
    clock, calls = Clock(), []
    # Six calls of warm-up at 1 s, then turns of an uncounted call (9 s) and a counted one.
    costs = {"a": [*[1.0] * 6, *[9.0, 2.0] * 7], "b": [*[1.0] * 6, *[9.0, 3.0] * 7], "c": [*[1.0] * 6, *[9.0, 4.0] * 7]}
    timed = {name: InProcess(Recording(name, calls, clock, *cost), images(2), clock) for name, cost in costs.items()}
    times = time_rounds(timed, 5, seconds=0.01, min_rounds=7, clock=clock)
    assert {size for _, size in calls} == {5}
    warm, turns = calls[: 3 * 6], calls[3 * 6 :]
    assert [name for name, _ in warm] == ["a"] * 6 + ["b"] * 6 + ["c"] * 6
    orders = balanced_orders(3)
    expected = ["abc"[index] for number in range(7) for index in orders[number % len(orders)] for _ in range(2)]
    assert [name for name, _ in turns] == expected
    assert times == {"a": [[2.0]] * 7, "b": [[3.0]] * 7, "c": [[4.0]] * 7}


def test_a_turn_has_as_many_calls_as_fit_into_its_share_and_time_ends_the_rounds() -> None:
    clock, calls = Clock(), []
    timed = {
        "quick": InProcess(Recording("quick", calls, clock, 1 / 128), images(1), clock),
        "slow": InProcess(Recording("slow", calls, clock, 3.0), images(1), clock),
    }
    times = time_rounds(timed, 1, seconds=1.0, min_rounds=5, clock=clock)
    assert {len(turn) for turn in times["quick"]} == {6}  # 1 s / 20 rounds * 128 calls a second
    assert {len(turn) for turn in times["slow"]} == {1}
    assert len(times["quick"]) == len(times["slow"]) == 5  # 2 s were over in the first round
    patient = time_rounds({"quick": timed["quick"]}, 1, seconds=100.0, clock=clock)
    assert len(patient["quick"]) == ROUNDS


def test_warm_up_ends_once_two_windows_agree() -> None:
    clock, calls = Clock(), []
    falling = Recording("a", calls, clock, *[8.0] * 3, *[4.0] * 3, *[2.0] * 3, 1.98)
    assert warm_up(InProcess(falling, images(1), clock), 4, 1000.0) == pytest.approx(1.98)
    assert len(calls) == 12
    calls.clear()
    never = Recording("a", calls, clock, *[float(3 ** (1 + (call // 3) % 2)) for call in range(300)])
    warm_up(InProcess(never, images(1), clock), 4, 1e9)
    assert len(calls) == 60
    calls.clear()
    warm_up(InProcess(Recording("a", calls, clock, *[5.0] * 3, 2.0), images(1), clock), 4, 0.0)
    assert len(calls) == 3  # no time is left for more


def test_timing_nothing_is_refused() -> None:
    timed = {"a": InProcess(Recording("a", [], Clock()), images(1))}
    for runtimes, batch, seconds in (({}, 1, 1.0), (timed, 0, 1.0), (timed, 1, -1.0), (timed, 1, float("nan"))):
        with pytest.raises(UsageError):
            time_rounds(runtimes, batch, seconds=seconds)


@given(st.lists(st.lists(st.floats(1e-3, 10), min_size=1, max_size=9), min_size=1, max_size=9), st.integers(1, 64))
@settings(deadline=None, max_examples=60)
def test_percentiles_are_those_of_all_calls(rounds: list[list[float]], batch: int) -> None:
    figures = summarise(rounds, batch)
    milliseconds = 1000 * np.array([call for each in rounds for call in each])
    for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        # Linear between neighbours: position share * (N - 1) of the sorted calls.
        position = share * (len(milliseconds) - 1)
        expected = np.interp(position, np.arange(len(milliseconds)), np.sort(milliseconds))
        assert figures[name] == pytest.approx(expected, abs=1e-4)
        assert figures[name] == pytest.approx(np.percentile(milliseconds, 100 * share), abs=1e-4)
    assert figures["images_per_second"] == pytest.approx(1000 * batch / np.median(milliseconds), abs=0.01)
    assert (figures["calls"], figures["rounds"]) == (len(milliseconds), len(rounds))
    assert figures["round_p50_ms"] == pytest.approx([1000 * np.median(each) for each in rounds], abs=1e-4)
