"""How good a classifier's probabilities are: likelihood and calibration, from logits, in float64."""

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
    gaps = (logits.argmax(axis=1) == labels) - confidence
    rows = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return float(np.abs(np.bincount(rows, weights=gaps, minlength=bins)).sum() / len(labels))
