"""Rectangles and mixtures of the pixels of many images at once, on any device."""

import math

import numpy as np
import torch
from torch import Tensor

_CACHED_LEVELS = 2**17
"""As many as the cache of a core holds twice as float32."""


def erase(images: Tensor, boxes: np.ndarray) -> Tensor:
    """Fill a rectangle of each image with the image's mean colour; in place.

    Args:
        images: uint8 `[B, H, W, 3]`.
        boxes: int64 `[B, 4]`, left, top, right, bottom; nothing is filled where it is empty.
    """
    chosen = np.flatnonzero(boxes[:, 2] > boxes[:, 0])
    if len(chosen):
        rows = torch.from_numpy(chosen).to(images.device)
        picked = images.index_select(0, rows)
        height, width = picked.shape[1:3]
        mean = (_exact_sum(picked) / (height * width)).round().to(torch.uint8)
        if images.device.type == "cpu" and images.is_contiguous():
            # Image by image is several times as fast here; elsewhere it would be a launch for each.
            lines = images.view(len(images), height, -1).numpy()
            colours = np.tile(mean.numpy(), width)  # a line of each: copied in one piece
            for row, colour, (left, top, right, bottom) in zip(
                chosen.tolist(), colours, boxes[chosen].tolist(), strict=True
            ):
                lines[row, top:bottom, 3 * left : 3 * right] = colour[3 * left : 3 * right]
        else:
            filled = _combined(picked, mean[:, None, None, :].expand_as(picked), boxes[chosen])
            images.index_copy_(0, rows, filled)
    return images


def paste(images: Tensor, rows: np.ndarray, partners: Tensor, boxes: np.ndarray) -> None:
    """Boxes of some images show what their partners do there (CutMix); in place.

    Args:
        images: uint8 `[B, H, W, 3]`.
        rows: int64 `[M]`, which of them.
        partners: uint8 `[M, H, W, 3]`.
        boxes: int64 `[M, 4]`, left, top, right, bottom.
    """
    if images.device.type != "cpu":
        places = torch.from_numpy(rows).to(images.device)
        images.index_copy_(0, places, _combined(images.index_select(0, places), partners, boxes))
        return
    outside, inside = images.numpy(), partners.numpy()
    for row, partner, (left, top, right, bottom) in zip(rows.tolist(), inside, boxes.tolist(), strict=True):
        outside[row, top:bottom, left:right] = partner[top:bottom, left:right]


def blend(images: Tensor, rows: np.ndarray, partners: Tensor, shares: np.ndarray) -> None:
    """Some images and their partners become weighted means (mixup), float64 rounded half to even; in place.

    Args:
        images: uint8 `[B, H, W, 3]`.
        rows: int64 `[M]`, which of them.
        partners: uint8 `[M, H, W, 3]`.
        shares: float64 `[M]` in [0, 1], the weight of the image itself.
    """
    if images.device.type != "cpu":
        places = torch.from_numpy(rows).to(images.device)
        images.index_copy_(0, places, _blended(images.index_select(0, places), partners, shares))
        return
    own, others, alike = images.numpy(), partners.numpy(), _rounds_alike(shares)
    for one in np.flatnonzero(~alike)[:, None]:
        own[rows[one]] = _blended(torch.from_numpy(own[rows[one]]), partners[one], shares[one]).numpy()
    _blend_by_float32(own, rows[alike], others if alike.all() else others[alike], shares[alike])


def _blended(images: Tensor, partners: Tensor, shares: np.ndarray) -> Tensor:
    own = torch.from_numpy(shares).to(images.device).view(-1, 1, 1, 1)
    return (own * images.to(torch.float64)).add_((1 - own) * partners).round_().to(torch.uint8)


def _blend_by_float32(images: np.ndarray, rows: np.ndarray, partners: np.ndarray, shares: np.ndarray) -> None:
    """`blend` in blocks, for shares by which float32 gives what float64 does."""
    length = math.prod(images.shape[1:])
    some = max(1, min(len(rows), _CACHED_LEVELS // max(1, length)))
    scratch, weights = torch.empty((2, some, length)), torch.from_numpy(shares.astype(np.float32))[:, None]
    for start in range(0, len(rows), some):
        part = slice(start, start + some)
        levels = images[rows[part]]
        own, others = scratch[:, : len(levels)]
        own.copy_(torch.from_numpy(levels.reshape(len(levels), -1)))
        others.copy_(torch.from_numpy(partners[part].reshape(len(levels), -1)))
        torch.lerp(others, own, weights[part], out=own).round_()
        np.copyto(levels.reshape(len(levels), -1), own.numpy(), casting="unsafe")
        images[rows[part]] = levels


def _rounds_alike(shares: np.ndarray) -> np.ndarray:
    """Of shares float64 `[M]`, those by which float32 surely gives what float64 does: bool `[M]`.

    A mean is the partner's level and a share of the difference, which is one of 256 up to its sign. Where none of their
    products is within 4e-5 of a half, errors do not matter: those of float32 are below 255 * 2^-23 for share and
    product, and 2^-17 for a sum below 256.
    """
    products = np.multiply.outer(shares, np.arange(256.0))
    return np.abs(products - np.rint(products)).max(axis=1, initial=0) < 0.5 - 4e-5


def _combined(outside: Tensor, inside: Tensor, boxes: np.ndarray) -> Tensor:
    """Images uint8 `[B, H, W, 3]`, within their boxes `[B, 4]` as others are."""
    left, top, right, bottom = torch.from_numpy(boxes).to(outside.device).view(-1, 4, 1).unbind(dim=1)
    rows, columns = (torch.arange(side, device=outside.device) for side in outside.shape[1:3])
    columns = columns.repeat_interleave(3)  # one for each colour: products of long lines are several times as fast
    down, across = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    within = (down[:, :, None] & across[:, None, :]).to(torch.uint8)
    lines = [images.reshape(*images.shape[:2], -1) for images in (outside, inside)]
    return (lines[0] * (1 - within)).add_(lines[1] * within).view(outside.shape)


def _exact_sum(levels: Tensor) -> Tensor:
    """The sum of levels uint8 `[B, H, W, 3]` over height and width: float64 `[B, 3]`."""
    count, height, width = levels.shape[:3]
    small = 255 * height * width < 2**24  # each sum a whole number that float32 holds
    lines = levels.reshape(count, height, -1).to(torch.float32 if small else torch.float64).sum(dim=1)
    return lines.view(count, width, 3).sum(dim=1).to(torch.float64)
