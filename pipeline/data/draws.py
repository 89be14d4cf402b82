"""What is drawn about the training images of a batch: plain arrays, in which a row is an image."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from pipeline.randomness import BatchGenerator

ASPECT = (3 / 4, 4 / 3)
ERASED = (0.02, 0.33)
ERASED_ASPECT = (0.3, 3.3)
ATTEMPTS = 10


class Rows:
    """A dataclass of arrays with a row for each image, some of which can be taken."""

    def rows(self, chosen: slice | np.ndarray) -> Self:
        """The same of some images."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        picked = {
            name: value.rows(chosen) if isinstance(value, Rows) else value[chosen]
            for name, value in values.items()
            if isinstance(value, (np.ndarray, Rows))
        }
        return replace(self, **picked)  # type: ignore[type-var]


@dataclass(frozen=True)
class Draws(Rows):
    """How training images are varied in an epoch.

    Attributes:
        epoch: number of the epoch within the cycle, from 0.
        indices: int64 `[B]`, positions in the training split.
        boxes: int64 `[B, 4]`, left, top, right, bottom of the crop in the prepared image
            (`Augmentation.preparation`); what reaches outside is black.
        mirrored: bool `[B]`.
        factors: float64 `[B, 3]`, of brightness, contrast and saturation; None without jitter.
        order: int64 `[B, 3]`, in which these are changed; None likewise.
        erased: int64 `[B, 4]`, the rectangle in the square that is filled, an empty one where none is; None without
            erasing.
    """

    epoch: int
    indices: np.ndarray
    boxes: np.ndarray
    mirrored: np.ndarray
    factors: np.ndarray | None = None
    order: np.ndarray | None = None
    erased: np.ndarray | None = None


def window_boxes(random: BatchGenerator, sizes: np.ndarray, size: int, padding: int) -> np.ndarray:
    """Squares anywhere in images with black pixels around them: int64 `[B, 4]`.

    Args:
        random: the images' streams.
        sizes: int64 `[B, 2]`, widths and heights.
        size: side of the square, at most those of the padded image.
        padding: black pixels on each side.
    """
    left, top = (random.integers(-padding, sizes[:, i] + padding - size + 1, 1)[:, 0] for i in range(2))
    return np.stack([left, top, left + size, top + size], axis=1)


def area_boxes(random: BatchGenerator, sizes: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """int64 `[B, 4]`, a share of the area within `scale` of each image; the whole centre where no attempt fits."""
    boxes = rectangles(random, sizes, scale, ASPECT)
    width, height = sizes[:, 0], sizes[:, 1]
    aspect = np.clip(width / height, *ASPECT)
    box_width = np.minimum(width, np.maximum(1, np.rint(height * aspect).astype(np.int64)))
    box_height = np.minimum(height, np.maximum(1, np.rint(width / aspect).astype(np.int64)))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    centre = np.stack([left, top, left + box_width, top + box_height], axis=1)
    return np.where((boxes[:, 2] > boxes[:, 0])[:, None], boxes, centre)


def rectangles(
    random: BatchGenerator, sizes: np.ndarray, scale: tuple[float, float], aspects: tuple[float, float]
) -> np.ndarray:
    """Rectangles with a share of the area in `scale` and an aspect ratio in `aspects`, log-uniform: int64 `[B, 4]`.

    Left, top, right, bottom; an empty one where none of ten attempts fits. Where the streams end is not certain.
    """
    lowest, highest = math.log(aspects[0]), math.log(aspects[1])
    boxes = np.zeros((len(sizes), 4), dtype=np.int64)
    places = random.random(2)
    left_over = np.arange(len(sizes))
    for _ in range(ATTEMPTS):
        (across, down), (share, position) = places[left_over].T, random.random(2).T
        width, height = sizes[left_over].T
        area = (scale[0] + share * (scale[1] - scale[0])) * width * height
        aspect = _each(math.exp, lowest + position * (highest - lowest))
        box_width, box_height = (np.rint(np.sqrt(x)).astype(np.int64) for x in (area * aspect, area / aspect))
        fits = (box_width >= 1) & (box_width <= width) & (box_height >= 1) & (box_height <= height)
        left = (across * (width - box_width + 1)).astype(np.int64)
        top = (down * (height - box_height + 1)).astype(np.int64)
        boxes[left_over[fits]] = np.stack([left, top, left + box_width, top + box_height], axis=1)[fits]
        left_over, random = left_over[~fits], random.streams(~fits)
        if not len(left_over):
            break
    return boxes


def _each(function: Callable[[float], float], values: np.ndarray) -> np.ndarray:
    """One value at a time: numpy's own exp differs from the C library's in the last bit, on some processors."""
    return np.fromiter(map(function, values.tolist()), dtype=np.float64, count=len(values))
