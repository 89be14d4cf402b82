"""Rounds: every runtime is timed in turn, in orders such that none always follows the same one."""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from exporters.core.errors import UsageError
from exporters.runtimes import Runtime

Clock = Callable[[], float]

ROUNDS = 20
"""Rounds that a measurement is divided into, where its time allows them."""

_WINDOW = 3
_MOST_WARM_UP_CALLS = 60
_STABLE = 0.05
_SHORTEST_CALL = 1e-5  # seconds; below it a clock tells little


class Timed(Protocol):
    """Something whose answers can be timed."""

    def time(self, batch: int, calls: int) -> list[float]:
        """Answer `calls` times to `batch` images; the seconds that each call took."""
        ...


class InProcess:
    """A runtime of this process.

    Args:
        runtime: what is timed.
        images: uint8 `[N, H, W, 3]`, N of 1 or more; repeated where a batch needs more.
        clock: seconds, rising.
    """

    def __init__(self, runtime: Runtime, images: np.ndarray, clock: Clock = time.perf_counter) -> None:
        self._runtime, self._images, self._clock = runtime, images, clock

    def time(self, batch: int, calls: int) -> list[float]:
        """See `Timed.time`."""
        images = np.resize(self._images, (batch, *self._images.shape[1:]))
        seconds = []
        for _ in range(calls):
            start = self._clock()
            self._runtime.predict(images)
            seconds.append(self._clock() - start)
        return seconds


def balanced_orders(count: int) -> list[list[int]]:
    """Orders of `count` runtimes in which each stands equally often in each place and after each other one.

    E. J. Williams, "Experimental designs balanced for the estimation of residual effects of treatments", 1949: `count`
    orders where it is even, twice as many where it is odd.
    """
    first = [(index + 1) // 2 if index % 2 else -(index // 2) for index in range(count)]  # 0, 1, -1, 2, -2, …
    orders = [[(place + shift) % count for place in first] for shift in range(count)]
    return orders if count % 2 == 0 else orders + [order[::-1] for order in orders]


def warm_up(runtime: Timed, batch: int, seconds: float) -> float:
    """Call until two windows of three calls in a row have medians that differ by 5 % at most; gives the last median.

    Ends without that after 60 calls, or once `seconds` went into calls after the first window, in which engines and
    kernels are still chosen.
    """
    before = _median(runtime.time(batch, _WINDOW))
    spent = 0.0
    for _ in range(_MOST_WARM_UP_CALLS // _WINDOW - 1):
        if spent >= seconds:
            break
        window = runtime.time(batch, _WINDOW)
        spent += sum(window)
        now = _median(window)
        if abs(now - before) <= _STABLE * before:
            return now
        before = now
    return before


def time_rounds(
    runtimes: Mapping[str, Timed],
    batch: int,
    *,
    seconds: float,
    min_rounds: int = 5,
    clock: Clock = time.perf_counter,
) -> dict[str, list[list[float]]]:
    """Time every runtime at one batch size: a warm-up each, then rounds in which each has one turn.

    A turn is about `seconds` / 20 of calls, after one that is not counted, because those before it have emptied the
    processor's caches.

    Args:
        runtimes: by name, 1 or more.
        batch: images a call, 1 or more.
        seconds: about the cost of each runtime.
        min_rounds: are run whatever they cost.
        clock: seconds, rising; ends the rounds.

    Returns:
        For each runtime its rounds, as the seconds of each call; round `k` of all of them was the same one.

    Raises:
        UsageError: no runtimes, or a number that is too small.
    """
    if not runtimes:
        raise UsageError("benchmark: needs a runtime")
    if batch < 1 or min_rounds < 1 or not seconds >= 0:
        raise UsageError(f"benchmark: batch {batch}, {min_rounds} rounds of {seconds} seconds cannot be timed")
    turn = seconds / ROUNDS
    calls = {}
    for name, runtime in runtimes.items():
        calls[name] = max(1, int(turn / max(warm_up(runtime, batch, seconds), _SHORTEST_CALL)))
    names = list(runtimes)
    orders = balanced_orders(len(names))
    times: dict[str, list[list[float]]] = {name: [] for name in names}
    end = clock() + seconds * len(names)
    done = 0
    while done < min_rounds or (done < ROUNDS and clock() < end):
        for index in orders[done % len(orders)]:
            name = names[index]
            times[name].append(runtimes[name].time(batch, calls[name] + 1)[1:])
        done += 1
    return times


def summarise(rounds: list[list[float]], batch: int) -> dict[str, float | int | list[float]]:
    """The figures of one runtime at one batch size.

    Args:
        rounds: seconds of each call, by round.
        batch: images a call.

    Returns:
        `p50_ms`, `p95_ms`, `p99_ms` over all calls (linear between the two nearest calls); `images_per_second` at the
        median call; `calls` and `rounds`, how many; `round_p50_ms`, the median of each round.
    """
    seconds = np.concatenate([np.asarray(each, dtype=np.float64) for each in rounds])
    p50, p95, p99 = (float(value) for value in np.percentile(seconds, (50, 95, 99)))
    return {
        "p50_ms": round(1000 * p50, 4),
        "p95_ms": round(1000 * p95, 4),
        "p99_ms": round(1000 * p99, 4),
        "images_per_second": round(batch / max(p50, 1e-9), 2),
        "calls": len(seconds),
        "rounds": len(rounds),
        "round_p50_ms": [round(1000 * _median(each), 4) for each in rounds],
    }


def _median(values: list[float]) -> float:
    return float(np.median(values))
