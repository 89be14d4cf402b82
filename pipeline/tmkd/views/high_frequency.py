"""The view of high frequencies: TMKD (arXiv 2603.24208), our reconstruction, line 2."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.tmkd.precision import full_precision, widen
from pipeline.tmkd.views.settings import HighFrequencyView

Filter = Literal["fft", "gaussian"]


def low_pass(images: Tensor, cutoff: float, filter: Filter) -> Tensor:
    """Frequencies up to the cutoff; `low_pass + high_pass` is the image.

    Args:
        images: `[B, C, H, W]`, any floating dtype, any size.
        cutoff: radius in the frequency plane as a fraction of Nyquist (0.5 cycles per pixel), 0 or more;
            0 keeps the mean alone with `"fft"`, and with `"gaussian"` a blur as wide as the image.
        filter: `"fft"`, an ideal circular filter with wrap-around, or `"gaussian"`, a blur with reflect padding whose
            transfer is ½ at `cutoff`.

    Returns:
        `[B, C, H, W]`, fp32 (float64 for float64).
    """
    with full_precision(images):
        images = widen(images)
        if filter == "fft":
            height, width = images.shape[-2:]
            kept = _radius(height, width, images) <= cutoff
            return torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(height, width))
        return _blur(images, sigma=math.sqrt(2 * math.log(2)) / (math.pi * max(cutoff, 1e-6)))


def high_pass(images: Tensor, cutoff: float, filter: Filter) -> Tensor:
    """Frequencies above the cutoff, `irfft2(rfft2(x)·[radius > cutoff])` or `x` minus its Gaussian blur.

    Arguments and dtype are those of `low_pass`; the values have both signs and, with `"fft"`, mean 0.
    """
    with full_precision(images):
        if filter != "fft":
            return widen(images) - low_pass(images, cutoff, filter)
        images = widen(images)
        height, width = images.shape[-2:]
        kept = _radius(height, width, images) > cutoff
        return torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(height, width))


def high_frequency_view(images: Tensor, settings: HighFrequencyView) -> Tensor:
    """Images with their fine texture enhanced, `clip(x + strength·H)` with `H` of `high_pass`.

    Args:
        images: `[B, C, H, W]` in [0, 1], any floating dtype, any size.
        settings: cutoff, filter, strength and mode; `replace` gives the bare high frequencies on mid-grey,
            `clip(½ + H)`, since they have both signs.

    Returns:
        `[B, C, H, W]` in [0, 1], dtype and device of `images`.
    """
    residual = high_pass(images, settings.cutoff, settings.filter)
    with full_precision(images):
        view = widen(images) + settings.strength * residual if settings.mode == "enhance" else 0.5 + residual
        return view.clamp(0, 1).to(images.dtype)


def _radius(height: int, width: int, like: Tensor) -> Tensor:
    """Distance from zero frequency in units of Nyquist, laid out as `rfft2` does: `[H, W // 2 + 1]`."""
    vertical = torch.fft.fftfreq(height, d=0.5, device=like.device, dtype=like.dtype)
    horizontal = torch.fft.rfftfreq(width, d=0.5, device=like.device, dtype=like.dtype)
    return torch.hypot(vertical[:, None], horizontal[None, :])


def _blur(images: Tensor, sigma: float) -> Tensor:
    for axis in (-1, -2):
        length = images.shape[axis]
        reach = min(math.ceil(4 * sigma), length - 1)  # reflect padding cannot reach further than the image
        taps = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-reach, reach + 1)]
        padding = (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach)
        padded = F.pad(images, padding, mode="reflect")
        # Tap by tap: little memory, and no convolution that a GPU would round to TF32.
        blurred = torch.zeros_like(images)
        for start, tap in enumerate(taps):
            blurred = blurred + tap / sum(taps) * padded.narrow(axis, start, length)
        images = blurred
    return images
