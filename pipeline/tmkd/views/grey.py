"""The view without colours: a kind of view beside those of TMKD (arXiv 2603.24208), our own addition."""

import torch
from torch import Tensor

from pipeline.tmkd.precision import full_precision, widen
from pipeline.tmkd.views.luma import luma
from pipeline.tmkd.views.settings import GreyView


def grey_view(images: Tensor, settings: GreyView) -> Tensor:
    """Images whose colours are faded towards their luma, `x + strength·(luma(x) − x)`.

    Args:
        images: `[B, 3, H, W]` in [0, 1], any floating dtype, any size.
        settings: the strength in [0, 1]; 0 gives the images themselves, 1 their luma in all three channels.

    Returns:
        `[B, 3, H, W]` in [0, 1], dtype and device of `images`.
    """
    with full_precision(images):
        colours = widen(images)
        # `lerp` is exact at both ends.
        faded = torch.lerp(colours, luma(images).expand_as(colours), settings.strength)
        return faded.clamp(0, 1).to(images.dtype)
