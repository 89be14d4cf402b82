"""The numbers that are taken of an image and of a model's answer; the image itself is not kept."""

import math

import numpy as np

from exporters.core.arrays import largest_and_sum

STATISTICS = ("brightness", "contrast", "sharpness", "size", "confidence", "score", "class")
"""The statistics whose histograms are compared, in the order of their columns."""

_ROWS = 16  # of an image that are looked at: means over them vary little, and cost microseconds


def pixel_values(images: np.ndarray) -> np.ndarray:
    """Brightness, contrast and sharpness of prepared images, from some 16 evenly spaced rows of each.

    Args:
        images: uint8 `[n, S, S, 3]`.

    Returns:
        float64 `[n, 3]`: mean and standard deviation of all values of the rows, and the mean absolute difference of
        horizontal neighbours; each from 0 to 255.
    """
    rows = images[:, :: max(1, images.shape[1] // _ROWS)].astype(np.float32)
    values = np.zeros((len(rows), 3))
    if rows.shape[2] > 1:
        steps = np.abs(rows[:, :, 1:] - rows[:, :, :-1]).reshape(len(rows), -1)
        values[:, 2] = steps.sum(axis=1) / steps.shape[1]
    flat = rows.reshape(len(rows), -1)
    mean = flat.sum(axis=1) / flat.shape[1]
    flat -= mean[:, None]  # `rows` is a copy
    np.multiply(flat, flat, out=flat)
    values[:, 0] = mean
    values[:, 1] = np.sqrt(flat.sum(axis=1) / flat.shape[1])
    return values


def image_size(width: int, height: int) -> float:
    """The size of an image as it was sent: the square root of its area in pixels."""
    return math.sqrt(width * height)


def answer_values(logits: np.ndarray) -> np.ndarray:
    """Confidence, score and class of answers.

    The score is the negative energy of Liu et al., "Energy-based Out-of-distribution Detection" (NeurIPS 2020), eq. 4
    with T = 1: `log Σ exp(z_k)`. It is lower for images unlike the training data.

    Args:
        logits: float32 `[n, K]`, finite.

    Returns:
        float64 `[n, 3]`: the largest probability of the softmax, the score, and the position of the largest logit.
    """
    largest, total = largest_and_sum(logits)
    return np.stack([1 / total, largest + np.log(total), logits.argmax(axis=1)], axis=1)
