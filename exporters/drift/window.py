"""The images of late, against those of validation: a window of bin numbers, looked at again and again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporters.drift.distance import Comparison, compare_counts
from exporters.drift.reference import DriftReference, value_rows
from exporters.drift.values import STATISTICS, answer_values, image_size, pixel_values

LEAST_WINDOW, MOST_WINDOW = 100, 100_000
FALSE_ALARMS = 1e-5
"""The probability that there is ever an alarm, of any statistic, while images are like those of validation."""

_MOST_OF_A_REQUEST = 16
"""Images of one request that count: they are often alike, and the event loop waits for their values."""
_BLOCK = 16  # images whose values are computed together
_LOOKS_A_WINDOW = 5


@dataclass(frozen=True)
class Look:
    """What was found when the window was looked at.

    Attributes:
        number: of the look, from 1 on.
        seen: images that were counted by then.
        level: the p-value below which a statistic is beyond chance at this look.
        comparisons: by statistic.
        alarms: by statistic, whether it is beyond chance and its PSI beyond the bound.
    """

    number: int
    seen: int
    level: float
    comparisons: dict[str, Comparison]
    alarms: dict[str, bool]


class DriftWindow:
    """Counts the last images and compares their histograms with the reference.

    Looks come after each fifth of the window, the first when 100 images are there. Look `k` has the level
    `FALSE_ALARMS / (S k (k + 1))` for each of S statistics. These levels add up to `FALSE_ALARMS` over all
    statistics and all looks for ever; by Bonferroni's inequality that bounds the probability of any false alarm,
    however looks and statistics depend on each other. Images must be independent draws.

    Memory is bounded: seven bytes for each image of the window, and the numbers of at most 32 images beside it. Not
    for several threads at once.

    Args:
        reference: of validation.
        window: images, `LEAST_WINDOW` to `MOST_WINDOW`.
        least_psi: below it, what is beyond chance is too small for an alarm.
        observe: called after each look.
    """

    def __init__(
        self,
        reference: DriftReference,
        window: int,
        least_psi: float,
        observe: Callable[["Look"], None] = lambda _look: None,
    ) -> None:
        self._reference = reference
        self._least_psi = least_psi
        self._observe = observe
        self._bins = np.full((window, len(STATISTICS)), -1, np.int8)
        self._sizes = reference.bin_numbers()
        self._counts = [np.zeros(size, np.int64) for size in self._sizes]
        self._expected = [list(reference.counts[name]) for name in STATISTICS]
        self._every = window // _LOOKS_A_WINDOW
        self._next_look = LEAST_WINDOW
        self._pending: list[tuple[np.ndarray, float, np.ndarray]] = []
        self._waiting = 0
        self.seen = 0
        """Images that were counted since the start."""
        self.look: Look | None = None
        """The last look."""

    def add(self, images: np.ndarray, logits: np.ndarray, size: tuple[int, int] | None = None) -> None:
        """Count the images of a request; of many, some that are evenly spread.

        Args:
            images: uint8 `[n, S, S, 3]`, as the model takes them.
            logits: float32 `[n, K]`, its answers.
            size: width and height of the image as it was sent; None where that is not known.
        """
        if len(images) > _MOST_OF_A_REQUEST:
            chosen = np.arange(_MOST_OF_A_REQUEST) * len(images) // _MOST_OF_A_REQUEST
            images, logits = images[chosen], logits[chosen]
        self._pending.append((pixel_values(images), np.nan if size is None else image_size(*size), logits.copy()))
        self._waiting += len(images)
        if self._waiting >= _BLOCK:
            self._settle()

    def add_values(self, values: np.ndarray) -> None:
        """Count images of which the values are known: float64 `[n, 7]`, n at most the window."""
        bins = self._reference.bins_of(values)
        places = (self.seen + np.arange(len(bins))) % len(self._bins)
        before = self._bins[places]
        for column, size in enumerate(self._sizes):
            # Bin -1, of what is not known, is the first entry and is dropped.
            gone = np.bincount(before[:, column] + 1, minlength=size + 1)
            come = np.bincount(bins[:, column] + 1, minlength=size + 1)
            self._counts[column] += (come - gone)[1:]
        self._bins[places] = bins
        self.seen += len(bins)
        if self.seen >= self._next_look:
            self._next_look = self.seen + self._every
            self._take_look()

    def _settle(self) -> None:
        """Compute the values of the images that wait."""
        if not self._pending:
            return
        pixels, sizes, logits = zip(*self._pending, strict=True)
        self._pending, self._waiting = [], 0
        lengths = [len(each) for each in logits]
        together = np.concatenate(logits)
        finite = np.isfinite(together).all(axis=1)  # a model that fails is not the world's drift
        rows = np.concatenate(pixels)[finite], np.repeat(sizes, lengths)[finite], answer_values(together[finite])
        self.add_values(value_rows(*rows))

    def _take_look(self) -> None:
        number = 1 if self.look is None else self.look.number + 1
        level = FALSE_ALARMS / (len(STATISTICS) * number * (number + 1))
        comparisons = {
            name: compare_counts(expected, counts.tolist())
            for name, expected, counts in zip(STATISTICS, self._expected, self._counts, strict=True)
        }
        alarms = {
            name: comparison.p_value < level and comparison.psi >= self._least_psi
            for name, comparison in comparisons.items()
        }
        self.look = Look(number, self.seen, level, comparisons, alarms)
        self._observe(self.look)

    def to_json(self) -> dict[str, Any]:
        """The histograms now, and what the last look found; plain JSON."""
        self._settle()
        look = self.look
        statistics: dict[str, Any] = {}
        for name, expected, counts in zip(STATISTICS, self._expected, self._counts, strict=True):
            statistics[name] = {
                "psi": None if look is None else look.comparisons[name].psi,
                "p_value": None if look is None else look.comparisons[name].p_value,
                "alarm": look is not None and look.alarms[name],
                "edges": list(self._reference.edges.get(name, ())),
                "reference": expected,
                "window": counts.tolist(),
            }
        return {
            "window": len(self._bins),
            "images": min(self.seen, len(self._bins)),
            "seen": self.seen,
            "looks": 0 if look is None else look.number,
            "level": None if look is None else look.level,
            "least_psi": self._least_psi,
            "alarm": look is not None and any(look.alarms.values()),
            "statistics": statistics,
        }
