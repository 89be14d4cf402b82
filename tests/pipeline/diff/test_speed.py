"""Latency of two students in interleaved rounds."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from exporters.client import Student
from pipeline.diff.speed import time_both

from .making import logits_of, make_bundle


class Logged(Student):
    """A student that notes who was asked."""

    def __init__(self, inner: Student, name: str, log: list[tuple[str, tuple[int, ...]]]) -> None:
        self._inner, self._name, self._log = inner, name, log

    def logits(self, images: np.ndarray) -> np.ndarray:
        self._log.append((self._name, images.shape))
        return self._inner.logits(images)


def test_both_take_turns_on_one_image_of_their_own_size(tmp_path: Path) -> None:
    log: list[tuple[str, tuple[int, ...]]] = []
    students = [
        Logged(Student.load(make_bundle(tmp_path / name, ["a", "b"], logits_of([0], 2), size)), name, log)
        for name, size in (("old", 8), ("new", 12))
    ]
    images = [np.zeros((1, size, size, 3), np.uint8) for size in (8, 12)]
    speed = time_both(students[0], students[1], images[0], images[1], threads=1, seconds=0.0)
    assert set(log) == {("old", (1, 8, 8, 3)), ("new", (1, 12, 12, 3))}
    turns = [name for name, _shape in log]
    assert sum(one != two for one, two in pairwise(turns)) >= 5, "they do not take turns"
    medians = [np.median(figures["round_p50_ms"]) for figures in (speed.old, speed.new)]
    assert speed.times_as_long.ratio == medians[1] / medians[0]
    assert speed.times_as_long.low <= speed.times_as_long.ratio <= speed.times_as_long.high
