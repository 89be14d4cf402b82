"""The enlarged centre: a kind of view beside those of TMKD (arXiv 2603.24208), our own addition."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.tmkd.precision import full_precision, widen
from pipeline.tmkd.views.settings import ZoomView


def zoom_view(images: Tensor, settings: ZoomView) -> Tensor:
    """The centre of images, resized (bilinear, half-pixel centres) to their size.

    `round((1 − share)·side/2)` pixels are cut off at each of the four sides, and never all: the crop is exactly
    central, so that zoom and flip can be swapped.

    Args:
        images: `[B, 3, H, W]` in [0, 1], any floating dtype, any size.
        settings: the share of each side that is kept; 1 gives the images themselves.

    Returns:
        `[B, 3, H, W]` in [0, 1], dtype and device of `images`.
    """
    height, width = images.shape[-2:]
    top, left = _margin(height, settings.share), _margin(width, settings.share)
    if not top and not left:
        return images
    with full_precision(images):
        centre = widen(images)[..., top : height - top, left : width - left]
        resized = F.interpolate(centre, size=(height, width), mode="bilinear", align_corners=False)
        return torch.clamp(resized, 0, 1).to(images.dtype)


def _margin(side: int, share: float) -> int:
    """Pixels cut off at each end of a side."""
    return min(round((1 - share) * side / 2), (side - 1) // 2)
