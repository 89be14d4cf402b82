"""Rectangles and mixtures of the pixels of many images at once, on any device."""

import numpy as np
import torch
from torch import Tensor


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
        if (
            images.device.type == "cpu" and images.is_contiguous()
        ):  # several times as fast here, and a launch for each image elsewhere
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


def paste(images: Tensor, partners: Tensor, boxes: np.ndarray) -> Tensor:
    """Each image uint8 `[B, H, W, 3]` with what its partner shows in a box `[B, 4]` (CutMix)."""
    if images.device.type != "cpu":
        return _combined(images, partners, boxes)
    pasted = images.clone()
    outside, inside = pasted.numpy(), partners.numpy()
    for row, (left, top, right, bottom) in enumerate(boxes.tolist()):
        outside[row, top:bottom, left:right] = inside[row, top:bottom, left:right]
    return pasted


def blend(images: Tensor, partners: Tensor, shares: np.ndarray) -> Tensor:
    """Each image uint8 `[B, H, W, 3]` and its partner, by the image's share float64 `[B]` (mixup), rounded."""
    own = torch.from_numpy(shares).to(images.device).view(-1, 1, 1, 1)
    return (own * images.to(torch.float64)).add_((1 - own) * partners).round_().to(torch.uint8)


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
