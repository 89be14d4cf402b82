"""How long two models take, in interleaved rounds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporters.benchmark.decision import Ratio, times_as_fast
from exporters.benchmark.rounds import InProcess, summarise, time_rounds
from exporters.client import Student


@dataclass(frozen=True)
class Speed:
    """Latency of one image, of the models alone: images are decoded, resized and cropped before.

    Attributes:
        threads: of the processor, for one operator.
        old, new: figures of `exporters.benchmark.rounds.summarise`: `p50_ms`, `p95_ms`, `calls`, `rounds`, ….
        times_as_long: the new one's time over the old one's, the medians of the same rounds, with its 95 % interval.
    """

    threads: int
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    times_as_long: Ratio


class _Model:
    """A student as the benchmark times it."""

    def __init__(self, student: Student) -> None:
        self.predict = student.logits


def time_both(
    old: Student, new: Student, old_images: np.ndarray, new_images: np.ndarray, *, threads: int, seconds: float
) -> Speed:
    """Time two students on one image at a time, in turns; five rounds at least, whatever they cost.

    Args:
        old, new: the students, loaded with so many threads.
        old_images, new_images: uint8 `[1, size, size, 3]`, as each takes them.
        threads: of each.
        seconds: about the cost of each.
    """
    runtimes = {"old": InProcess(_Model(old), old_images), "new": InProcess(_Model(new), new_images)}
    rounds = time_rounds(runtimes, 1, seconds=seconds)
    figures = {name: summarise(each, 1) for name, each in rounds.items()}
    return Speed(threads, figures["old"], figures["new"], times_as_fast(figures["old"], figures["new"]))
