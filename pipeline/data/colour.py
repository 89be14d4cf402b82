"""Brightness, contrast and saturation of many images at once, on any device: what Pillow gives for each, to the bit.

Computed in float32 as Pillow's `ImageEnhance` does, with a rounding after each product. Where Pillow was built with
fused products (as on ARM), a level may differ by 1 of 255.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION = range(3)

_GREY = (19595 / 65536, 38470 / 65536, 7471 / 65536)
"""ITU-R 601-2 luma of red, green and blue."""

_HALF = torch.tensor(0.5)

_MANY_PIXELS = 2**17
"""From so many on, images of one order are enough for a call to cost little beside what it computes."""

_PIXELS_AT_ONCE = 2**18
"""As many take 4 MB as float32, with their grey: more fit into few caches, and fewer need more calls."""


def jitter(images: Tensor, factors: np.ndarray, order: np.ndarray) -> Tensor:
    """Brightness, contrast and saturation of each image by its factors, in its order.

    Args:
        images: uint8 `[B, H, W, 3]`.
        factors: float64 `[B, 3]`, 0 or more; 1 changes nothing.
        order: int64 `[B, 3]`, a permutation of 0 (brightness), 1 (contrast) and 2 (saturation) in each row.

    Returns:
        uint8 `[B, H, W, 3]`.
    """
    many = images.device.type == "cpu" and images.numel() >= 3 * _MANY_PIXELS
    return (jitter_in_blocks if many else jitter_at_once)(images, factors, order)


def jitter_in_blocks(images: Tensor, factors: np.ndarray, order: np.ndarray) -> Tensor:
    """`jitter` of many images on a CPU: one order after the other, so that nothing is computed that is not needed."""
    pixels = images.numpy()
    height, width = pixels.shape[1:3]
    area, changed = height * width, np.empty_like(pixels)
    some = max(1, _PIXELS_AT_ONCE // area)
    scratch = torch.empty(4 * min(some, len(pixels)) * area)
    strengths = torch.from_numpy(np.ascontiguousarray(factors.T, dtype=np.float32)[:, :, None])
    for operations, rows in _alike(order, some):
        picked = pixels.take(rows, axis=0)
        levels = scratch[: 4 * len(rows) * area].view(4, len(rows), area)
        _split(picked, levels.numpy())
        _change(levels, strengths[:, torch.from_numpy(rows)], operations)
        _join(levels.numpy(), picked)
        changed[rows] = picked
    return torch.from_numpy(changed)


def _alike(order: np.ndarray, some: int) -> Iterator[tuple[list[int], np.ndarray]]:
    """Operations in an order, and rows of images that have it, at most `some` at a time."""
    kinds = (3 * order[:, 0] + order[:, 1]).astype(np.uint8)
    by_kind = np.argsort(kinds, kind="stable")
    ends = np.bincount(kinds).cumsum().tolist()
    for start, end in pairwise([0, *ends]):
        parts = -(-(end - start) // some)
        for part in range(parts):
            rows = by_kind[start + (end - start) * part // parts : start + (end - start) * (part + 1) // parts]
            yield order[rows[0]].tolist(), rows


def _split(pixels: np.ndarray, levels: np.ndarray) -> None:
    """Planes of red, green and blue, to float32 `[4, n, P]`, of pixels `[n, H, W, 3]`."""
    count, area = levels.shape[1:]
    # Red and green by one read of 16 bits: reading every third byte is what takes the time.
    both = np.ndarray((count, area), "<u2", pixels, strides=(3 * area, 3)).copy()
    levels[1] = both >> 8
    levels[0] = np.bitwise_and(both, 255, out=both)
    levels[2] = pixels.reshape(count, area, 3)[..., 2]


def _join(levels: np.ndarray, pixels: np.ndarray) -> None:
    """Planes back to pixels, without what is behind the point."""
    colours = pixels.reshape(*levels.shape[1:], 3)
    for colour in range(3):
        np.copyto(colours[..., colour], levels[colour], casting="unsafe")


def _split_by_torch(pixels: Tensor, levels: Tensor) -> None:
    """`_split` on any device."""
    levels[:3] = pixels.flatten(1, 2).permute(2, 0, 1)


def _join_by_torch(levels: Tensor, pixels: Tensor) -> None:
    """`_join` on any device."""
    pixels.flatten(1, 2)[:] = levels[:3].permute(1, 2, 0)


def _change(levels: Tensor, strengths: Tensor, operations: list[int]) -> None:
    """Planes of whole levels, `[4, n, P]` with a place for grey, in place; the last operation's are not rounded."""
    planes, (*colours, grey) = levels[:3], levels.unbind()
    for place, operation in enumerate(operations):
        if place:
            planes.floor_()
        strength = strengths[operation]
        if operation == BRIGHTNESS:
            planes.mul_(strength).clamp_max_(255)
            continue
        without = _grey(colours, grey)
        if operation == CONTRAST:
            without = _mean(grey)
        planes.sub_(without).mul_(strength).add_(without).clamp_(0, 255)


def jitter_at_once(images: Tensor, factors: np.ndarray, order: np.ndarray) -> Tensor:
    """`jitter` in as few operations as possible: where a call or a launch costs more than what it computes."""
    count, height, width = images.shape[:3]
    levels = torch.empty((4, count, height * width), device=images.device)
    changed = images.clone(memory_format=torch.contiguous_format)
    if images.device.type == "cpu":
        _split(changed.numpy(), levels.numpy())
    else:
        _split_by_torch(changed, levels)
    planes, (*colours, grey), rows = levels[:3], levels.unbind(), np.arange(count)
    for place in range(3):
        operation, factor = order[:, place], factors[rows, order[:, place]]
        of_contrast, of_saturation, strength = (
            torch.from_numpy(each).to(images.device, torch.float32).view(-1, 1)
            for each in (operation == CONTRAST, operation == SATURATION, factor)
        )
        # What an image would be without brightness (black), contrast (its mean grey) or saturation (grey).
        mean = _mean(_grey(colours, grey))
        without = grey.mul_(of_saturation).add_(mean * of_contrast)
        planes.sub_(without).mul_(strength).add_(without).clamp_(0, 255).floor_()
    if images.device.type == "cpu":
        _join(levels.numpy(), changed.numpy())
    else:
        _join_by_torch(levels, changed)
    return changed


def _grey(colours: Sequence[Tensor], grey: Tensor) -> Tensor:
    """The luma `[n, P]` of red, green and blue, written to `grey`: all products and sums are exact in float32."""
    red, green, blue = colours
    torch.add(_HALF, red, alpha=_GREY[0], out=grey)
    return grey.add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2]).floor_()


def _mean(grey: Tensor) -> Tensor:
    """The rounded mean of each row of whole levels `[n, P]`: float32 `[n, 1]`."""
    pixels = grey.shape[1]
    exact = torch.float32 if 255 * pixels < 2**24 else torch.float64  # each sum a whole number that it holds
    return (
        grey.sum(dim=1, keepdim=True, dtype=exact).to(torch.float64).div_(pixels).add_(0.5).floor_().to(torch.float32)
    )
