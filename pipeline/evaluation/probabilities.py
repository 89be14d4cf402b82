"""How good a classifier's probabilities are: likelihood and calibration, from logits, in float64."""

from dataclasses import dataclass

import numpy as np

BINS = 15
"""Bins of the calibration error, as in Guo et al. (2017)."""


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Log-softmax over the classes: `[N, K]` → `[N, K]` float64."""
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=1, keepdims=True)
    logarithms: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logarithms


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of `-log p(label)` in nats, 0 or more; logits `[N, K]`, labels `[N]`, N at least 1."""
    return float(-log_probabilities(logits)[np.arange(len(labels)), labels].mean())


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy in bins of confidence, each `[bins]`.

    Attributes:
        images: int64, in each bin.
        confidence, accuracy: means, 0 in a bin without images.
    """

    images: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def calibration_error(self) -> float:
        """The expected calibration error, as of `calibration_error`."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float((self.images * gaps).sum() / self.images.sum())


def bins_of(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin of each confidence `[N]` in [0, 1], `[N]` int64: of equal width, open below and closed above."""
    rows: np.ndarray = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return rows


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Reliability:
    """Confidence `[N]` in [0, 1] against correct answers `[N]` bool, in bins of equal width, open below and closed
    above; N at least 1."""
    rows = bins_of(confidence, bins)
    images = np.bincount(rows, minlength=bins)
    sums = (np.bincount(rows, weights=each, minlength=bins) for each in (confidence, correct))
    return Reliability(images, *(each / np.maximum(images, 1) for each in sums))


def calibration_error(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """The expected calibration error (Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599, eq. 3).

    `Σ_b |B_b|/N · |accuracy(B_b) - confidence(B_b)|` over `bins` intervals of equal width, open below and closed above,
    of the confidence, the probability of the answer. Of equal logits the lowest class is the answer.

    Args:
        logits: `[N, K]`, N at least 1.
        labels: `[N]`.
        bins: how many.

    Returns:
        In [0, 1].
    """
    confidence = np.exp(log_probabilities(logits).max(axis=1))
    return reliability(confidence, logits.argmax(axis=1) == labels, bins).calibration_error
