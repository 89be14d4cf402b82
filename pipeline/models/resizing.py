"""Images at the size that a teacher was made for, whatever size the student's are."""

import torch
from torch import Tensor
from torch.nn import functional


def resize_images(images: Tensor, size: int) -> Tensor:
    """Images in another size, on their own device: bicubic, with antialiasing where they shrink.

    Args:
        images: `[n, 3, H, W]`, float in `[0, 1]`.
        size: height and width of the result.

    Returns:
        `[n, 3, size, size]` in `[0, 1]`, of the same type; the very same tensor where it has this size already.
    """
    if images.shape[-2:] == (size, size):
        return images
    # There is no kernel for half precision on the CPU, and eight bits of mantissa are too few for an image.
    wide = images if images.dtype == torch.float64 else images.float()
    resized = functional.interpolate(wide, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(0, 1).to(images.dtype)
