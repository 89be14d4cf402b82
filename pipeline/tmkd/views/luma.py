"""The brightness of an image."""

import torch
from torch import Tensor

from pipeline.tmkd.precision import full_precision, widen

# ITU-R BT.601.
_WEIGHTS = (0.299, 0.587, 0.114)


def luma(images: Tensor) -> Tensor:
    """`0.299·R + 0.587·G + 0.114·B`.

    Args:
        images: `[B, 3, H, W]` in [0, 1], any floating dtype.

    Returns:
        `[B, 1, H, W]` in [0, 1], fp32 (float64 for float64).
    """
    with full_precision(images):
        images = widen(images)
        brightness = sum(weight * images[:, i : i + 1] for i, weight in enumerate(_WEIGHTS))
        assert isinstance(brightness, torch.Tensor)
        return brightness
