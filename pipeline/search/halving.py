"""Successive halving for candidates that differ in accuracy, latency and size.

The rungs are those of `pipeline.distill.race.halving`, and the whole schedule after them. A net that is smaller than
another and less accurate may still be the right one, so that accuracy alone must not decide who goes on.
"""

import math
from collections.abc import Mapping, Sequence

from pipeline.distill.race.halving import rung_epochs
from pipeline.search.front import Point, front

Costs = tuple[float, int]
"""Latency in ms and size in bytes."""


def schedule(epochs: int, rungs: int, reduction: int) -> tuple[int, ...]:
    """Epochs of each rung, strictly rising; the last has the whole schedule.

    Args:
        epochs: of the whole schedule, 1 or more.
        rungs: short rungs before it, 0 or more.
        reduction: η, 2 or more.

    Example:
        >>> schedule(90, 2, 3), schedule(90, 0, 3)
        ((10, 30, 90), (90,))
    """
    short = rung_epochs(epochs, rungs, reduction) if rungs else ()
    return (*(length for length in short if length < epochs), epochs)


def survivors(scores: Mapping[str, float], costs: Mapping[str, Sequence[Costs]], reduction: int) -> tuple[str, ...]:
    """The trainings that go on to the next rung.

    These are all that are on the front of accuracy, latency and size with one of their files, and the most accurate one
    in `reduction` (rounded up) whether they are on it or not.

    Args:
        scores: name → validation accuracy in the rung that ended.
        costs: name → latency and size of each file that may be made of it, 1 or more.
        reduction: η, 2 or more.

    Returns:
        Names in the order of `scores`.
    """
    owners = [(name, cost) for name in scores for cost in costs[name]]
    on_front = front([Point(scores[name], *cost) for name, cost in owners])
    kept = {owners[place][0] for place in on_front}
    ordered = sorted(scores, key=lambda name: scores[name], reverse=True)  # stable: of equals the first
    kept |= set(ordered[: math.ceil(len(scores) / reduction)])
    return tuple(name for name in scores if name in kept)
