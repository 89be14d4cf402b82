"""The Pareto front of accuracy, latency and size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

LATENCY_STEP = 1.05
"""Two latencies in the same step of 5 % count as equal: a measurement repeats no better than that."""


@dataclass(frozen=True)
class Point:
    """What a candidate is judged by.

    Attributes:
        top1: accuracy on validation, in [0, 1]; higher is better.
        latency_ms: the median time of one image, above 0; lower is better.
        size: of the file in bytes; lower is better.
    """

    top1: float
    latency_ms: float
    size: int

    @property
    def costs(self) -> tuple[float, float, float]:
        """The three figures, each better where it is lower."""
        return -self.top1, self.latency_ms, float(self.size)

    @property
    def stepped(self) -> tuple[float, float, float]:
        """`costs` with the number of the step in the place of the latency."""
        step = math.floor(math.log(self.latency_ms) / math.log(LATENCY_STEP))
        return -self.top1, float(step), float(self.size)

    @property
    def rank(self) -> tuple[float, ...]:
        """What decides between candidates that all fit: accuracy, then latency, then size; lower is better."""
        return -self.top1, self.stepped[1], float(self.size), self.latency_ms


Named = TypeVar("Named")


def dominates(one: Point, other: Point) -> bool:
    """Whether `one` is as good as `other` in all three figures and better in one of them.

    Latencies are compared by their steps, or as they were measured: either is enough. So a point beats another that is
    only faster by less than a measurement can tell, and no point of a front is beaten by plain numbers. No cycle of
    points beats each other, because what is as good in plain numbers is as good in steps.
    """
    return any(
        ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))
        for ours, theirs in ((one.costs, other.costs), (one.stepped, other.stepped))
    )


def front(points: Sequence[Point]) -> tuple[int, ...]:
    """The positions of the points that no other dominates, in their order; equal points are all on it."""
    return tuple(place for place, point in enumerate(points) if not any(dominates(other, point) for other in points))


def best(points: Sequence[Point]) -> int | None:
    """The position of the most accurate point; of equals the fastest, then the smallest, then the first; None of none.

    It is on the front of the points.
    """
    return min(range(len(points)), key=lambda place: points[place].rank, default=None)
