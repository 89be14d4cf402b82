"""Runtimes of known speed, on a clock that only they move."""

import numpy as np


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Recording:
    """A runtime whose k-th call costs `costs[k]` seconds, the last of them from then on."""

    def __init__(self, name: str, calls: list[tuple[str, int]], clock: Clock, *costs: float) -> None:
        self.name, self.calls, self.clock, self.costs = name, calls, clock, list(costs) or [1.0]

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.calls.append((self.name, len(images)))
        self.clock.now += self.costs.pop(0) if len(self.costs) > 1 else self.costs[0]
        return np.zeros((len(images), 2), np.float32)


def images(count: int) -> np.ndarray:
    return np.zeros((count, 4, 4, 3), np.uint8)
