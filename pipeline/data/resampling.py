"""Pillow's resize with antialiasing, of many images at once, on any device: the same levels to the bit.

Pillow resizes 8-bit images by two passes of whole numbers (`Image.resize`; its manual has the filters): each level of
the result is a sum of levels times weights in 1/2^22, rounded to 8 bits after each pass. Whole numbers add up to the
same in any order, so that a GPU comes to the same levels.
"""

from collections.abc import Callable

import numpy as np
import PIL
import torch
from torch import Tensor

PRECISION = 22
"""Bits of a weight's fraction."""

TALL_IMAGES_BY_HEIGHT = int(PIL.__version__.split(".")[0]) >= 13
"""Whether this Pillow resizes some tall images by height first."""

LEVELS_AT_ONCE = 16_000_000
"""Of the first pass, to bound the memory that it takes."""


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys's cubic with a = -1/2."""
    a, x = -0.5, np.abs(x)
    inner, outer = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


_FILTERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
}


def resized_windows(
    pixels: Tensor,
    starts: np.ndarray,
    widths: np.ndarray,
    boxes: np.ndarray,
    shapes: np.ndarray,
    corners: np.ndarray,
    size: int,
    interpolation: str,
    by_height: np.ndarray,
) -> Tensor:
    """Boxes of images are cropped and resized, and a square is cut out of each: uint8 `[B, size, size, 3]`.

    Args:
        pixels: uint8 `[T, 3]`, images one after the other.
        starts: int64 `[B]`, where each image begins.
        widths: int64 `[B]`, of the images.
        boxes: int64 `[B, 4]`, left, top, right, bottom, within the image.
        shapes: int64 `[B, 2]`, width and height of the resized box.
        corners: int64 `[B, 2]`, left and top of the square, which lies within the resized box.
        size: side of the square.
        interpolation: bilinear or bicubic.
        by_height: bool `[B]`, the boxes that are resized by height first, and then by width.
    """
    box_sizes = boxes[:, 2:] - boxes[:, :2]
    # A line runs along the direction that is resized first: `step` leads to its next pixel, `stride` to the next line.
    first, second = (np.where(by_height[:, None], pair[:, ::-1], pair).T for pair in (box_sizes, shapes))
    (length, lines), (shape, shape_across) = first, second
    corner, corner_across = np.where(by_height[:, None], corners[:, ::-1], corners).T
    step, stride = np.where(by_height, widths, 1), np.where(by_height, 1, widths)
    origin = starts + boxes[:, 1] * widths + boxes[:, 0]
    result = torch.empty((len(boxes), size, size, 3), dtype=torch.uint8, device=pixels.device)
    at_once = max(1, LEVELS_AT_ONCE // (size * 3 * int(lines.max(initial=1))))
    for begin in range(0, len(boxes), at_once):
        some = slice(begin, begin + at_once)
        along = resize_weights(length[some], shape[some], corner[some], size, interpolation)
        across = resize_weights(lines[some], shape_across[some], corner_across[some], size, interpolation)
        middle = _resized_lines(pixels, origin[some], step[some], stride[some], length[some], lines[some], *along)
        squares = _resized_across(middle, *across)
        turned = torch.from_numpy(by_height[some]).to(pixels.device).view(-1, 1, 1, 1)
        result[some] = torch.where(turned, squares.transpose(1, 2), squares)
    return result


def resized_by_height(boxes: np.ndarray, size: int) -> np.ndarray:
    """bool `[B]`: the boxes that Pillow takes by height first where it resizes them to a square.

    The rule of Pillow 13 was found by comparing with what it gives.
    """
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return TALL_IMAGES_BY_HEIGHT & (height > size) & (height - size > 2 * (width - size))


def resize_weights(
    lengths: np.ndarray, shapes: np.ndarray, corners: np.ndarray, size: int, interpolation: str
) -> tuple[np.ndarray, np.ndarray]:
    """How much each level of a line counts for some levels of the resized line.

    Args:
        lengths: int64 `[B]`, of the lines.
        shapes: int64 `[B]`, of the lines once resized.
        corners: int64 `[B]`, the first level that is wanted.
        size: how many are.
        interpolation: bilinear or bicubic.

    Returns:
        The first level that counts for each, int64 `[B, size]`, and the weights of those from there on in 1/2^22, int64
        `[B, size, K]`, 0 beyond the last.
    """
    function, support = _FILTERS[interpolation]
    scale = (lengths / shapes)[:, None]
    stretch = np.maximum(scale, 1.0)
    reach = support * stretch
    centre = (corners[:, None] + np.arange(size) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + reach + 0.5).astype(np.int64), lengths[:, None]) - first
    taps = np.arange(int(count.max()))
    distance = (taps + first[..., None] - centre[..., None] + 0.5) * (1 / stretch)[..., None]
    weights = np.where(taps < count[..., None], function(distance), 0.0)
    total = np.zeros(first.shape)
    for tap in taps:  # one by one: the last bit depends on the order
        total += weights[..., tap]
    scaled = weights * (1.0 / total)[..., None] * (1 << PRECISION)
    return first, np.trunc(scaled + np.where(weights < 0, -0.5, 0.5)).astype(np.int64)


def _resized_lines(
    pixels: Tensor,
    origin: np.ndarray,
    step: np.ndarray,
    stride: np.ndarray,
    length: np.ndarray,
    lines: np.ndarray,
    first: np.ndarray,
    weights: np.ndarray,
) -> Tensor:
    """The first pass: uint8 `[b, lines, size, 3]`."""
    device = pixels.device
    begin, steps, strides, last, last_line, first_level, weight = (
        torch.from_numpy(np.ascontiguousarray(each)).to(device)
        for each in (origin, step, stride, length - 1, lines - 1, first, weights.astype(np.int32))
    )
    # Lines beyond an image's own repeat its last one; no weight of the second pass reaches them.
    line = torch.minimum(torch.arange(int(lines.max()), device=device), last_line[:, None])
    base = begin[:, None] + line * strides[:, None]
    total = torch.zeros((*base.shape, first.shape[1], 3), dtype=torch.int32, device=device)
    for tap in range(weights.shape[2]):
        place = torch.minimum(first_level + tap, last[:, None]) * steps[:, None]
        levels = pixels[base[:, :, None] + place[:, None, :]]
        total.addcmul_(levels.to(torch.int32), weight[:, None, :, tap, None])
    return _rounded(total)


def _resized_across(middle: Tensor, first: np.ndarray, weights: np.ndarray) -> Tensor:
    """The second pass, over lines: uint8 `[b, size, size, 3]`."""
    first_line, weight = (torch.from_numpy(each).to(middle.device) for each in (first, weights.astype(np.int32)))
    rows = torch.arange(len(middle), device=middle.device)[:, None]
    total = torch.zeros((*first.shape, *middle.shape[2:]), dtype=torch.int32, device=middle.device)
    for tap in range(weights.shape[2]):
        levels = middle[rows, (first_line + tap).clamp_(max=middle.shape[1] - 1)]
        total.addcmul_(levels.to(torch.int32), weight[:, :, tap, None, None])
    return _rounded(total)


def _rounded(total: Tensor) -> Tensor:
    return ((total + (1 << (PRECISION - 1))) >> PRECISION).clamp_(0, 255).to(torch.uint8)
