"""The edge view: TMKD (arXiv 2603.24208), our reconstruction, line 1."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.tmkd.precision import full_precision, widen
from pipeline.tmkd.views.luma import luma
from pipeline.tmkd.views.settings import EdgeView

# Outer and middle weight of the smoothing across the derivative.
_SMOOTHING = {"sobel": (1.0, 2.0), "scharr": (3.0, 10.0)}
# Far below the edge that one step of an 8-bit channel makes (4e-4), far above rounding.
_FLAT = 1e-5


def edge_map(images: Tensor, operator: Literal["sobel", "scharr", "laplacian"]) -> Tensor:
    """Edge magnitude of the luma, divided by its maximum in each image.

    Args:
        images: `[B, 3, H, W]` in [0, 1], any floating dtype, height and width at least 2.
        operator: `"sobel"` or `"scharr"` (gradient magnitude) or `"laplacian"` (its absolute value, 4 neighbours).

    Returns:
        `[B, 1, H, W]` in [0, 1], fp32 (float64 for float64); 0 everywhere for a flat image.
    """
    with full_precision(images):
        brightness = luma(images)
        padded = F.pad(brightness, (1, 1, 1, 1), mode="reflect")
        # Differences of pixels rather than a convolution: a flat image gives exactly 0, without rounding.
        if operator in _SMOOTHING:
            outer, middle = _SMOOTHING[operator]
            dx = padded[..., :, 2:] - padded[..., :, :-2]
            dy = padded[..., 2:, :] - padded[..., :-2, :]
            gx = outer * (dx[..., :-2, :] + dx[..., 2:, :]) + middle * dx[..., 1:-1, :]
            gy = outer * (dy[..., :, :-2] + dy[..., :, 2:]) + middle * dy[..., :, 1:-1]
            squared = gx.square() + gy.square()
            # The square root has no gradient at 0.
            there = squared > 0
            magnitude = torch.where(there, torch.where(there, squared, 1.0).sqrt(), 0.0)
        else:
            horizontal = (brightness - padded[..., 1:-1, :-2]) + (brightness - padded[..., 1:-1, 2:])
            vertical = (brightness - padded[..., :-2, 1:-1]) + (brightness - padded[..., 2:, 1:-1])
            magnitude = (horizontal + vertical).abs()
        return magnitude / magnitude.amax(dim=(-3, -2, -1), keepdim=True).clamp(min=_FLAT)


def edge_view(images: Tensor, settings: EdgeView) -> Tensor:
    """Images with their edges enhanced, `clip(x + strength·M)` with `M` of `edge_map`.

    Args:
        images: `[B, 3, H, W]` in [0, 1], any floating dtype, height and width at least 2.
        settings: operator, strength and mode; `replace` gives the bare edge map in all three channels.

    Returns:
        `[B, 3, H, W]` in [0, 1], dtype and device of `images`.
    """
    edges = edge_map(images, settings.operator)
    with full_precision(images):
        if settings.mode == "enhance":
            view = (widen(images) + settings.strength * edges).clamp(0, 1)
        else:
            view = edges.expand(-1, images.shape[1], -1, -1)
        return view.to(images.dtype)
