"""The mirrored view: a kind of view beside those of TMKD (arXiv 2603.24208), our own addition."""

from torch import Tensor

from pipeline.tmkd.views.settings import FlipView

_AXES = {"horizontal": -1, "vertical": -2}


def flip_view(images: Tensor, settings: FlipView) -> Tensor:
    """Images mirrored left to right (`horizontal`) or upside down (`vertical`); twice gives the images themselves.

    Args:
        images: `[B, 3, H, W]` in [0, 1], any floating dtype, any size.
        settings: the axis.

    Returns:
        `[B, 3, H, W]` in [0, 1], dtype and device of `images`.
    """
    return images.flip(_AXES[settings.axis])
