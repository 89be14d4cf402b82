"""Squares cut out of decoded images on the device that trains, the same to the bit as Pillow cuts them on the CPU."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from pipeline.data.augmentation import Augmentation
from pipeline.data.draws import Draws
from pipeline.data.preparation import Preparation
from pipeline.data.resampling import resized_by_height, resized_windows


def cut_on_device(
    pixels: Tensor, starts: np.ndarray, sizes: np.ndarray, draws: Draws, augmentation: Augmentation
) -> Tensor:
    """What `Augmentation.cut` gives of the prepared images: uint8 `[B, S, S, 3]`, on the device of the pixels.

    Args:
        pixels: uint8 `[T, 3]`, images as decoded, one after the other.
        starts: int64 `[B]`, where each image begins.
        sizes: int64 `[B, 2]`, widths and heights.
        draws: about these images.
        augmentation: that drew them.
    """
    size, interpolation = augmentation.geometry.size, augmentation.geometry.interpolation
    preparation = augmentation.preparation
    if preparation.kind == "whole":
        shapes, corners = np.full(sizes.shape, size), np.zeros(sizes.shape, dtype=np.int64)
        boxes, by_height = draws.boxes, resized_by_height(draws.boxes, size)
    else:
        shapes = Preparation("resized", preparation.geometry).sizes(sizes)
        corners = draws.boxes[:, :2]
        if preparation.kind == "centre":
            corners = np.rint((shapes - size) / 2).astype(np.int64)
        boxes, by_height = np.concatenate([np.zeros_like(sizes), sizes], axis=1), np.zeros(len(sizes), dtype=bool)
    widths = sizes[:, 0]
    squares = resized_windows(pixels, starts, widths, boxes, shapes, corners, size, interpolation, by_height)
    if preparation.kind == "centre":
        squares = _shifted(squares, draws.boxes[:, :2])
    mirrored = torch.from_numpy(draws.mirrored).to(pixels.device).view(-1, 1, 1, 1)
    return torch.where(mirrored, squares.flip(2), squares)


def _shifted(squares: Tensor, corners: np.ndarray) -> Tensor:
    """Squares of the same size whose corners `[B, 2]`, left and top, are elsewhere; black from outside."""
    margin = int(np.abs(corners).max(initial=0))
    if margin == 0:
        return squares
    framed = pad(squares, (0, 0, margin, margin, margin, margin))
    left, top = (torch.from_numpy(corners[:, i] + margin).to(squares.device)[:, None] for i in range(2))
    along, rows = (
        torch.arange(squares.shape[1], device=squares.device),
        torch.arange(len(squares), device=squares.device),
    )
    return framed[rows[:, None, None], (top + along)[:, :, None], (left + along)[:, None, :]]
