"""The blurred view: a kind of view beside those of TMKD (arXiv 2603.24208), our own addition."""

import torch
from torch import Tensor

from pipeline.tmkd.precision import full_precision, widen
from pipeline.tmkd.views.high_frequency import low_pass
from pipeline.tmkd.views.settings import BlurView


def blur_view(images: Tensor, settings: BlurView) -> Tensor:
    """Images with their fine texture taken away, `x + strength·(low_pass(x) − x)`, the counterpart of `high_frequency`.

    Args:
        images: `[B, 3, H, W]` in [0, 1], any floating dtype, any size.
        settings: cutoff and strength; the low pass is the Gaussian of `low_pass`. A strength of 0 gives the images
            themselves, 1 the bare low frequencies.

    Returns:
        `[B, 3, H, W]` in [0, 1], dtype and device of `images`.
    """
    with full_precision(images):
        # `lerp` is exact at both ends.
        blurred = torch.lerp(widen(images), low_pass(images, settings.cutoff, "gaussian"), settings.strength)
        return blurred.clamp(0, 1).to(images.dtype)
