"""The histograms of validation, as `drift.json` of a bundle holds them."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from exporters.core.errors import GateError
from exporters.drift.values import STATISTICS

LEAST_IMAGES = 100
"""With fewer images of validation there is no reference: four bins are the fewest that show a shape."""
MOST_IMAGES = 2**20

_MOST_QUANTILES, _IMAGES_A_BIN = 10, 25  # edges between too few images make the test find too much
_MOST_BINS = 32
_MOST_VALUE = 1e12
_CLASS = STATISTICS.index("class")
_HALF_A_PIXEL = 0.5


@dataclass(frozen=True)
class DriftReference:
    """Histograms of validation: of each statistic the bins and how many images each has.

    Args:
        images: how many there are.
        classes: K, of the model.
        edges: by statistic but `class`, the inner edges of the bins, rising; the outer bins are open. A value that is
            an edge belongs to the bin above.
        counts: by statistic, images in each bin; of `class`, class `k` of K belongs to bin `k · bins // K`.
    """

    images: int
    classes: int
    edges: dict[str, tuple[float, ...]]
    counts: dict[str, tuple[int, ...]]

    @classmethod
    def of_values(cls, values: np.ndarray, classes: int) -> Self:
        """Bins of about a tenth of the images each, 25 or more; a value that as many share has a bin of its own.

        Args:
            values: float64 `[n, 7]`, the columns those of `STATISTICS`; n of `LEAST_IMAGES` or more.
            classes: K.
        """
        edges = {
            name: _edges(values[:, column], _HALF_A_PIXEL if name == "size" else None)
            for column, name in enumerate(STATISTICS)
            if column != _CLASS
        }
        empty = cls(len(values), classes, edges, {})
        bins = empty.bins_of(values)
        sizes = empty.bin_numbers()
        counts = {
            name: tuple(np.bincount(bins[:, column], minlength=sizes[column]).tolist())
            for column, name in enumerate(STATISTICS)
        }
        return cls(len(values), classes, edges, counts)

    def bin_numbers(self) -> tuple[int, ...]:
        """How many bins each statistic has, in the order of `STATISTICS`."""
        classes = min(self.classes, _MOST_BINS)
        return tuple(classes if name == "class" else len(self.edges[name]) + 1 for name in STATISTICS)

    def bins_of(self, values: np.ndarray) -> np.ndarray:
        """The bin of each value.

        Args:
            values: float64 `[n, 7]`; NaN stands for a value that is not known.

        Returns:
            int8 `[n, 7]`, -1 for what is not known.
        """
        bins = np.empty(values.shape, np.int8)
        for column, name in enumerate(STATISTICS):
            if column == _CLASS:
                bins[:, column] = values[:, column].astype(np.int64) * min(self.classes, _MOST_BINS) // self.classes
            else:
                bins[:, column] = np.searchsorted(self.edges[name], values[:, column], side="right")
        bins[np.isnan(values)] = -1
        return bins

    def to_json(self) -> dict[str, Any]:
        """The content of `drift.json`."""
        statistics: dict[str, Any] = {name: {"counts": list(self.counts[name])} for name in STATISTICS}
        for name, edges in self.edges.items():
            statistics[name]["edges"] = list(edges)
        return {"images": self.images, "statistics": statistics}

    @classmethod
    def from_json(cls, name: str, value: Any, classes: int) -> Self:
        """Read what `to_json` gave, and nothing else.

        Args:
            name: of the file, for messages.
            value: its parsed content.
            classes: K of the bundle.

        Raises:
            GateError: a key too many or too few, edges that do not rise, counts that are not those of the images.
        """
        if not isinstance(value, dict) or set(value) != {"images", "statistics"}:
            raise GateError(f"{name}: has other keys than images and statistics")
        images, statistics = value["images"], value["statistics"]
        if type(images) is not int or not LEAST_IMAGES <= images <= MOST_IMAGES:
            raise GateError(f"{name}: images is no whole number from {LEAST_IMAGES} to {MOST_IMAGES:,}")
        if not isinstance(statistics, dict) or set(statistics) != set(STATISTICS):
            raise GateError(f"{name}: has other statistics than {', '.join(STATISTICS)}")
        edges: dict[str, tuple[float, ...]] = {}
        counts: dict[str, tuple[int, ...]] = {}
        for statistic in STATISTICS:
            entry, place = statistics[statistic], f"{name}: {statistic}"
            keys = {"counts"} if statistic == "class" else {"counts", "edges"}
            if not isinstance(entry, dict) or set(entry) != keys:
                raise GateError(f"{place} has other keys than {' and '.join(sorted(keys))}")
            if statistic != "class":
                edges[statistic] = _checked_edges(place, entry["edges"])
            bins = min(classes, _MOST_BINS) if statistic == "class" else len(edges[statistic]) + 1
            counts[statistic] = _checked_counts(place, entry["counts"], bins, images)
        return cls(images, classes, edges, counts)


def _edges(values: np.ndarray, half_step: float | None) -> tuple[float, ...]:
    """Quantiles, and edges on both sides of each value that a bin's share of the images or more have."""
    bins = min(_MOST_QUANTILES, len(values) // _IMAGES_A_BIN)
    found, shares = np.unique([_rounded(value) for value in values.tolist()], return_counts=True)
    common = set(found[shares * bins >= len(values)].tolist())
    quantiles = np.quantile(values, np.arange(1, bins) / bins, method="lower").tolist()
    edges = {_rounded(edge) for edge in quantiles} - common
    for value in common:
        half = half_step or 1e-4 * max(abs(value), 1e-3)
        edges |= {_rounded(value - half), _rounded(value + half)}
    return tuple(sorted(edges))


def _rounded(value: float) -> float:
    """Six digits: the last bits of a float depend on the machine."""
    return float(f"{value:.6g}")


def _checked_edges(place: str, edges: Any) -> tuple[float, ...]:
    if not isinstance(edges, list) or not 1 <= len(edges) < _MOST_BINS:
        raise GateError(f"{place} has no list of 1 to {_MOST_BINS - 1} edges")
    if not all(type(edge) is float and math.isfinite(edge) and abs(edge) <= _MOST_VALUE for edge in edges):
        raise GateError(f"{place} has an edge that is no decimal number")
    if any(edge != _rounded(edge) for edge in edges):
        raise GateError(f"{place} has an edge of more than six digits")
    if any(low >= high for low, high in itertools.pairwise(edges)):
        raise GateError(f"{place} has edges that do not rise")
    return tuple(edges)


def _checked_counts(place: str, counts: Any, bins: int, images: int) -> tuple[int, ...]:
    if not isinstance(counts, list) or len(counts) != bins:
        raise GateError(f"{place} needs the counts of {bins} bins")
    if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != images:
        raise GateError(f"{place} has counts that do not add up to {images:,} images")
    return tuple(counts)


def value_rows(pixels: np.ndarray, sizes: Sequence[float] | np.ndarray, answers: np.ndarray) -> np.ndarray:
    """The values of images as `DriftReference` takes them, float64 `[n, 7]`.

    Args:
        pixels: as `pixel_values` gives them.
        sizes: as `image_size` gives them; NaN where the image as it was sent is not known.
        answers: as `answer_values` gives them.
    """
    return np.concatenate([pixels, np.asarray(sizes, np.float64)[:, None], answers], axis=1)
