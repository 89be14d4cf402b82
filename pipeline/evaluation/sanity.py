"""What a student's logits say of a training that went wrong, whatever its accuracy."""

import math

import numpy as np

from pipeline.evaluation.probabilities import log_probabilities

_CONSTANT = 1e-4
"""Largest spread of a class's logit over the images, relative to the largest logit, of a student that says nothing."""
_DEVIATIONS = 3.0
"""Standard errors of the mean within which a likelihood may lie above that of equal probabilities by chance."""


def faults(logits: np.ndarray, labels: np.ndarray) -> list[str]:
    """What is wrong with the answers to a split, one sentence each; empty where nothing is.

    A student that gives the same logits for every image says nothing about them. One whose negative log-likelihood is
    above `ln K`, that of equal probabilities for all K classes, by more than three standard errors of its mean, is
    confidently wrong, as after a training that diverged.

    Args:
        logits: `[N, K]`, N at least 1, finite.
        labels: `[N]` integers.
    """
    images, classes = logits.shape
    wide = logits.astype(np.float64)
    scale = np.abs(wide).max()
    if images > 1 and np.ptp(wide, axis=0).max() <= _CONSTANT * scale:
        return [f"the student gives the same answer for all {images:,} images, whatever they show"]
    each = -log_probabilities(logits)[np.arange(images), labels]
    nll, uniform = float(each.mean()), math.log(classes)
    error = float(each.std(ddof=1)) / math.sqrt(images) if images > 1 else math.inf
    if nll - uniform <= _DEVIATIONS * error:
        return []
    shown = f"{nll:.3f}" if nll < 1000 else f"{nll:.3g}"
    return [
        f"the student's probabilities are worse than equal ones for all {classes} classes: NLL {shown} nats, against"
        f" {uniform:.3f}; it has diverged, or is far too confident"
    ]
