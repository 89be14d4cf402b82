"""Views of an image that carry visual priors: TMKD (arXiv 2603.24208), our reconstruction, lines 1 and 2.

Images are in [0, 1] and already augmented, so that all views and the student see the same crop. Everything runs on the
images' device, is differentiable almost everywhere, and computes in fp32 whatever autocast says.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from exporters.core.errors import UsageError
from exporters.core.files import sha256_bytes
from pipeline.tmkd.precision import full_precision, widen

# ITU-R BT.601 luma.
_LUMA = (0.299, 0.587, 0.114)
# Outer and middle weight of the smoothing across the derivative.
_SMOOTHING = {"sobel": (1.0, 2.0), "scharr": (3.0, 10.0)}
# Far below the edge that one step of an 8-bit channel makes (4e-4), far above rounding.
_FLAT = 1e-5


def edge_map(images: Tensor, operator: str = "sobel") -> Tensor:
    """Edge magnitude of the luma, divided by its maximum in each image (line 1).

    Args:
        images: `[B, 3, H, W]` in [0, 1], any floating dtype, height and width at least 2.
        operator: `"sobel"` or `"scharr"` (gradient magnitude) or `"laplacian"` (its absolute value, 4 neighbours).

    Returns:
        `[B, 1, H, W]` in [0, 1], fp32 (float64 for float64); 0 everywhere for a flat image.

    Raises:
        ValueError: an unknown operator.
    """
    with full_precision(images):
        images = widen(images)
        luma = sum(weight * images[:, i : i + 1] for i, weight in enumerate(_LUMA))
        assert isinstance(luma, Tensor)
        padded = F.pad(luma, (1, 1, 1, 1), mode="reflect")
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
        elif operator == "laplacian":
            horizontal = (luma - padded[..., 1:-1, :-2]) + (luma - padded[..., 1:-1, 2:])
            vertical = (luma - padded[..., :-2, 1:-1]) + (luma - padded[..., 2:, 1:-1])
            magnitude = (horizontal + vertical).abs()
        else:
            raise ValueError(f"unknown edge operator {operator!r}: sobel, scharr or laplacian")
        return magnitude / magnitude.amax(dim=(-3, -2, -1), keepdim=True).clamp(min=_FLAT)


def edge_view(images: Tensor, strength: float = 0.25, operator: str = "sobel", mode: str = "enhance") -> Tensor:
    """Edge-enhanced images `clip(x + strength·M)`, with `M` of `edge_map`: TMKD, our reconstruction, line 1.

    Args:
        images: `[B, 3, H, W]` in [0, 1], any floating dtype, height and width at least 2.
        strength: λ_e, 0 or more; 0 gives the images back.
        operator: `"sobel"`, `"scharr"` or `"laplacian"`.
        mode: `"enhance"`, or `"replace"` for the bare edge map in all three channels (`strength` is not used then).

    Returns:
        `[B, 3, H, W]` in [0, 1], dtype and device of `images`.

    Raises:
        ValueError: an unknown operator or mode.
    """
    edges = edge_map(images, operator)
    with full_precision(images):
        if mode == "enhance":
            view = (widen(images) + strength * edges).clamp(0, 1)
        elif mode == "replace":
            view = edges.expand(-1, images.shape[1], -1, -1)
        else:
            raise ValueError(f"unknown mode {mode!r}: enhance or replace")
        return view.to(images.dtype)


def low_pass(images: Tensor, cutoff: float = 0.25, filter: str = "fft") -> Tensor:
    """What `high_pass` takes away; `low_pass + high_pass` is the image.

    Args:
        images: `[B, C, H, W]`, any floating dtype, any size.
        cutoff: radius in the frequency plane as a fraction of Nyquist (0.5 cycles per pixel), 0 or more;
            0 keeps the mean alone with `"fft"`, and with `"gaussian"` a blur as wide as the image.
        filter: `"fft"`, an ideal circular filter with wrap-around, or `"gaussian"`, a blur with reflect padding whose
            transfer is ½ at `cutoff`.

    Returns:
        `[B, C, H, W]`, fp32 (float64 for float64).

    Raises:
        ValueError: an unknown filter.
    """
    with full_precision(images):
        images = widen(images)
        if filter == "fft":
            height, width = images.shape[-2:]
            kept = _radius(height, width, images) <= cutoff
            return torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(height, width))
        if filter == "gaussian":
            return _blur(images, sigma=math.sqrt(2 * math.log(2)) / (math.pi * max(cutoff, 1e-6)))
        raise ValueError(f"unknown filter {filter!r}: fft or gaussian")


def high_pass(images: Tensor, cutoff: float = 0.25, filter: str = "fft") -> Tensor:
    """Frequencies above the cutoff, `irfft2(rfft2(x)·[radius > cutoff])` or `x` minus its Gaussian blur (line 2).

    Arguments, dtype and errors are those of `low_pass`; the values have both signs and, with `"fft"`, mean 0.
    """
    with full_precision(images):
        if filter != "fft":
            return widen(images) - low_pass(images, cutoff, filter)
        images = widen(images)
        height, width = images.shape[-2:]
        kept = _radius(height, width, images) > cutoff
        return torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(height, width))


def high_frequency_view(
    images: Tensor, cutoff: float = 0.25, strength: float = 0.5, filter: str = "fft", mode: str = "enhance"
) -> Tensor:
    """Images with their fine texture raised, `clip(x + strength·H)`: TMKD, our reconstruction, line 2.

    Args:
        images: `[B, C, H, W]` in [0, 1], any floating dtype, any size.
        cutoff: fraction of Nyquist above which frequencies count as high.
        strength: λ_h, 0 or more; 0 gives the images back.
        filter: `"fft"` or `"gaussian"`.
        mode: `"enhance"`, or `"replace"` for the bare residual on mid-grey, `clip(½ + H)`, since it has both signs
            (`strength` is not used then).

    Returns:
        `[B, C, H, W]` in [0, 1], dtype and device of `images`.

    Raises:
        ValueError: an unknown filter or mode.
    """
    residual = high_pass(images, cutoff, filter)
    with full_precision(images):
        if mode == "enhance":
            view = widen(images) + strength * residual
        elif mode == "replace":
            view = 0.5 + residual
        else:
            raise ValueError(f"unknown mode {mode!r}: enhance or replace")
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


# kind -> (function, its settings with their defaults)
_KINDS: dict[str, tuple[Callable[..., Tensor], dict[str, Any]]] = {
    "edge": (edge_view, {"strength": 0.25, "operator": "sobel", "mode": "enhance"}),
    "high_frequency": (high_frequency_view, {"cutoff": 0.25, "strength": 0.5, "filter": "fft", "mode": "enhance"}),
}


class Views:
    """The views of a recipe, rgb first, made in one call.

    Args:
        specs: view name → its settings, in order: the recipe's models or plain mappings with `kind` and the arguments
            of `edge_view` or `high_frequency_view`. A mapping without `kind` takes its name for it. Empty: rgb alone.

    Attributes:
        names: `("rgb", …)`, the order of the first axis of all that is per view.
        kinds: name → kind, `{"rgb": "rgb", …}`, in the same order.
        identities: for each view what it is, whatever it is called: equal settings, equal identity.

    Raises:
        UsageError: a view called rgb, or of an unknown kind or setting.
    """

    def __init__(self, specs: Mapping[str, Any]) -> None:
        self.kinds: dict[str, str] = {"rgb": "rgb"}
        self._makers: list[tuple[Callable[..., Tensor], dict[str, Any]]] = []
        identities = ["rgb"]
        for name, spec in specs.items():
            if name == "rgb":
                raise UsageError("distill.views.rgb: the rgb view is always there and has no settings")
            kind, arguments = _read_spec(name, spec)
            self.kinds[name] = kind
            self._makers.append((_KINDS[kind][0], arguments))
            identities.append(f"{kind}-{sha256_bytes(json.dumps(arguments, sort_keys=True).encode())[:8]}")
        self.names: tuple[str, ...] = tuple(self.kinds)
        self.identities: tuple[str, ...] = tuple(identities)

    def __len__(self) -> int:
        return len(self.names)

    def __call__(self, images: Tensor) -> Tensor:
        """All views of a batch.

        Args:
            images: `[B, 3, H, W]` in [0, 1], any floating dtype.

        Returns:
            `[V, B, 3, H, W]` in [0, 1], dtype and device of `images`; the first is `images` itself.
        """
        return torch.stack([images, *(maker(images, **arguments) for maker, arguments in self._makers)])


def _read_spec(name: str, spec: Any) -> tuple[str, dict[str, Any]]:
    plain = isinstance(spec, Mapping)
    kind = spec.get("kind", name) if plain else spec.kind
    if kind not in _KINDS:
        raise UsageError(f"distill.views.{name}: unknown kind of view {kind!r}", remedy=f"Known: {', '.join(_KINDS)}.")
    defaults = _KINDS[kind][1]
    if not plain:
        return kind, {key: getattr(spec, key) for key in defaults}
    unknown = sorted(set(spec) - set(defaults) - {"kind"})
    if unknown:
        raise UsageError(
            f"distill.views.{name}: unknown key {', '.join(unknown)}", remedy=f"Known: kind, {', '.join(defaults)}."
        )
    return kind, {key: spec.get(key, default) for key, default in defaults.items()}
