"""Chooses the range of an activation in 8 bits from a histogram of its values on the calibration images."""

import numpy as np

BINS = 8192
_LEVELS = 128  # of one sign in 8 bits
_MERGE = 4  # bins of the histogram to one of the magnitudes
_STEP = 16  # bins between two thresholds that are tried


class Histogram:
    """Counts of values in `BINS` equal bins between the smallest and the largest value, which are known beforehand.

    Fixed edges make the result independent of the batch size.
    """

    def __init__(self, lowest: float, highest: float) -> None:
        self.lowest, self.highest = lowest, highest
        self.counts = np.zeros(BINS, np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count float32 values of any shape, all within the range."""
        width = self.highest - self.lowest
        if width == 0:
            return
        flat = values.reshape(-1)
        index = ((flat - np.float32(self.lowest)) * np.float32(BINS / width)).astype(np.int32)
        self.counts += np.bincount(np.minimum(index, BINS - 1, out=index), minlength=BINS)[:BINS]

    def percentile(self, percentile: float) -> tuple[float, float]:
        """The values below which (100 - percentile) % and percentile % lie, to the width of one bin.

        Each end is the outer edge of its bin.
        """
        if not self.counts.any():
            return self.lowest, self.highest
        edges = np.linspace(self.lowest, self.highest, BINS + 1)
        share = np.cumsum(self.counts) / self.counts.sum()
        low = int(np.searchsorted(share, 1 - percentile / 100, side="right"))
        high = int(np.searchsorted(share, percentile / 100, side="left"))
        return float(edges[min(low, BINS - 1)]), float(edges[min(high, BINS - 1) + 1])

    def entropy(self) -> tuple[float, float]:
        """The range [-t, t], cut to the smallest and largest value, that loses the least information.

        For each threshold t the magnitudes up to t, with all beyond counted at t, are compared by the
        Kullback-Leibler divergence with what is left of them in 128 equal levels.
        """
        magnitudes, largest = self._magnitudes()
        magnitudes[0] = magnitudes[1]  # zero is represented exactly: the many zeros of a ReLU lose nothing
        if not magnitudes.any():
            return self.lowest, self.highest
        best, threshold = np.inf, largest
        beyond = magnitudes.sum() - np.cumsum(magnitudes)
        for size in range(_LEVELS, len(magnitudes) + 1, _STEP):
            kept = magnitudes[:size]
            reference = kept.astype(np.float64)
            reference[-1] += beyond[size - 1]
            divergence = _divergence(reference, _coarsened(kept, size))
            if divergence < best:
                best, threshold = divergence, largest * size / len(magnitudes)
        return max(self.lowest, -threshold), min(self.highest, threshold)

    def _magnitudes(self) -> tuple[np.ndarray, float]:
        """Counts of |x| in equal bins up to the largest magnitude."""
        largest = max(abs(self.lowest), abs(self.highest))
        bins = BINS // _MERGE
        centres = self.lowest + (np.arange(BINS) + 0.5) * (self.highest - self.lowest) / BINS
        index = np.minimum((np.abs(centres) / (largest or 1) * bins).astype(int), bins - 1)
        return np.bincount(index, weights=self.counts, minlength=bins), largest


def _coarsened(counts: np.ndarray, size: int) -> np.ndarray:
    """The counts quantized to 128 levels, and spread evenly over the bins of a level that were not empty."""
    level = np.arange(size) * _LEVELS // size
    filled = counts > 0
    total = np.bincount(level, weights=counts, minlength=_LEVELS)
    bins = np.bincount(level, weights=filled, minlength=_LEVELS)
    return np.where(filled, (total / np.maximum(bins, 1))[level], 0.0)


def _divergence(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Kullback-Leibler divergence of two histograms; the candidate is smoothed, so that no bin of it is empty."""
    if candidate.sum() == 0:
        return np.inf
    p = reference / reference.sum()
    q = (candidate / candidate.sum()) * (1 - 1e-4) + 1e-4 / len(candidate)
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / q[some])))
