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

_PIXELS_AT_ONCE = 2**17
"""For each thread of PyTorch: as many take 2 MB as float32, with their grey; more fit into few caches of a core."""


def jitter(images: Tensor, factors: np.ndarray, order: np.ndarray) -> Tensor:
    """Change brightness, contrast and saturation of each image by its factors, in its order; in place.

    Args:
        images: uint8 `[B, H, W, 3]`.
        factors: float64 `[B, 3]`, 0 or more; 1 changes nothing.
        order: int64 `[B, 3]`, a permutation of 0 (brightness), 1 (contrast) and 2 (saturation) in each row.
    """
    many = images.device.type == "cpu" and images.numel() >= 3 * _MANY_PIXELS
    if len(images):
        (jitter_in_blocks if many else jitter_at_once)(images, factors, order)
    return images


@torch.inference_mode()
def jitter_in_blocks(images: Tensor, factors: np.ndarray, order: np.ndarray) -> None:
    """`jitter` of many images on a CPU: one order after the other, so that nothing is computed that is not needed."""
    pixels, (height, width) = images.numpy(), images.shape[1:3]
    area = height * width
    some = min(len(images), max(1, _PIXELS_AT_ONCE * torch.get_num_threads() // area))
    levels, room = torch.empty(some, 4, area), torch.empty((some, height, width, 3), dtype=torch.uint8)
    strengths = factors.T[:, :, None].astype(np.float32)
    for operations, rows in _alike(order, some):
        picked, planes = room[: len(rows)], levels[: len(rows)]
        np.take(pixels, rows, axis=0, out=picked.numpy(), mode="clip")  # in other modes it makes a copy first
        _split(picked, planes)
        _change(planes, torch.from_numpy(strengths[:, rows]), operations)
        _join(planes, picked)
        pixels[rows] = picked.numpy()


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


def _split(pixels: Tensor, levels: Tensor) -> None:
    """Planes of red, green and blue, to float32 `[n, 4, P]`, of pixels uint8 `[n, H, W, 3]`."""
    levels[:, :3] = pixels.flatten(1, 2).transpose(1, 2)


def _join(levels: Tensor, pixels: Tensor) -> None:
    """Planes back to pixels, without what is behind the point."""
    levels[:, :3].floor_()
    if pixels.device.type != "cpu" or not pixels.is_contiguous():
        pixels[:] = levels[:, :3].transpose(1, 2).unflatten(1, pixels.shape[1:3])
        return
    # The three bytes of a pixel as one number, whose fourth byte the next one overwrites: four times as fast.
    red, green, blue, words = levels.unbind(1)
    torch.add(red, green, alpha=2**8, out=words).add_(blue, alpha=2**16)
    written = pixels.numpy().reshape(-1)
    np.ndarray(words.numel() - 1, "<u4", written, strides=(3,))[:] = words.numpy().reshape(-1)[:-1].astype("<u4")
    written[-3:] = levels[-1, :3, -1].numpy()


def _change(levels: Tensor, strengths: Tensor, operations: list[int]) -> None:
    """Planes of whole levels, `[n, 4, P]` with a place for grey, in place; the last operation's are not rounded."""
    planes, (*colours, grey) = levels[:, :3], levels.unbind(1)
    for place, operation in enumerate(operations):
        if place:
            planes.floor_()
        strength = strengths[operation][:, None]
        if operation == BRIGHTNESS:
            planes.mul_(strength).clamp_max_(255)
            continue
        without = _grey(colours, grey)
        if operation == CONTRAST:
            without = _mean(grey)
        without = without[:, None]
        planes.sub_(without).mul_(strength).add_(without).clamp_(0, 255)


@torch.inference_mode()
def jitter_at_once(images: Tensor, factors: np.ndarray, order: np.ndarray) -> None:
    """`jitter` in as few operations as possible: where a call or a launch costs more than what it computes."""
    levels = torch.empty((len(images), 4, images[:1, ..., 0].numel()), device=images.device)
    _split(images, levels)
    planes, (*colours, grey), rows = levels[:, :3], levels.unbind(1), np.arange(len(images))
    for place in range(3):
        operation, factor = order[:, place], factors[rows, order[:, place]]
        of_contrast, of_saturation, strength = (
            torch.from_numpy(each).to(images.device, torch.float32).view(-1, 1)
            for each in (operation == CONTRAST, operation == SATURATION, factor)
        )
        # What an image would be without brightness (black), contrast (its mean grey) or saturation (grey).
        mean = _mean(_grey(colours, grey))
        without = grey.mul_(of_saturation).add_(mean * of_contrast)[:, None]
        planes.sub_(without).mul_(strength[:, None]).add_(without).clamp_(0, 255).floor_()
    _join(levels, images)


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
