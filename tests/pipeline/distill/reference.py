"""What the references of several tests share, in NumPy."""

import math

import numpy as np


def pool(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Adaptive average pooling of `[…, h, w]` to `[…, height, width]`."""
    rows, columns = maps.shape[-2:]
    pooled = np.empty((*maps.shape[:-2], height, width))
    for i in range(height):
        for j in range(width):
            own_rows = slice(i * rows // height, math.ceil((i + 1) * rows / height))
            own_columns = slice(j * columns // width, math.ceil((j + 1) * columns / width))
            pooled[..., i, j] = maps[..., own_rows, own_columns].mean(axis=(-1, -2))
    return pooled


def to_one_size(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both pooled to the smaller height and the smaller width."""
    height, width = (min(first.shape[axis], second.shape[axis]) for axis in (-2, -1))
    return pool(first, height, width), pool(second, height, width)
