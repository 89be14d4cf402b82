"""Mean and std of the RGB channels: their bounds, and what was probably meant by values that cannot be right."""

import math
from collections.abc import Sequence

from exporters.core.errors import UsageError

_KNOWN_MEANS = (
    (0.485, 0.456, 0.406),  # ImageNet
    (0.4815, 0.4578, 0.4082),  # CLIP
    (0.4914, 0.4822, 0.4465),  # CIFAR-10
    (0.5071, 0.4867, 0.4408),  # CIFAR-100
)
_KNOWN_STDS = ((0.229, 0.224, 0.225), (0.2686, 0.2613, 0.2758), (0.247, 0.2435, 0.2616), (0.2675, 0.2565, 0.2761))
_CLOSE = 2e-3


def check_normalisation(
    mean: Sequence[float], std: Sequence[float], names: tuple[str, str] = ("preprocessing: mean", "preprocessing: std")
) -> None:
    """Refuse a mean and std that cannot be for images in [0, 1].

    Args:
        mean: three numbers in [0, 1].
        std: three numbers in (0, 1].
        names: what messages call the two.

    Raises:
        UsageError: names the values, and what was probably meant.
    """
    for name, values in zip(names, (mean, std), strict=True):
        if len(values) != 3 or not all(math.isfinite(value) for value in values):
            raise UsageError(f"{name}: expected three finite numbers, one a channel, not {_listed(values)}")
    if min(std) <= 0:
        raise UsageError(
            f"{names[1]} must be above zero, not {_listed(std)}", remedy="Give the std of the training images."
        )
    for name, values in zip(names, (mean, std), strict=True):
        if min(values) < 0 or max(values) > 1:
            raise UsageError(
                f"{name}: {_listed(values)} cannot be for images in [0, 1]: each number must be between 0 and 1",
                remedy=_remedy(mean, std),
            )


def on_scale_of_bytes(values: Sequence[float]) -> list[float] | None:
    """The values divided by 255, where they are plainly on the scale of 0 to 255; else None."""
    if len(values) == 3 and 1 < min(values) <= max(values) <= 255:
        return [float(f"{value / 255:.4g}") for value in values]
    return None


def normalisation_doubts(mean: Sequence[float], std: Sequence[float]) -> list[str]:
    """Lines on values that are possible and yet known from another place: channels reversed, mean and std swapped."""
    doubts = []
    if not _known(mean, _KNOWN_MEANS) and _known(mean[::-1], _KNOWN_MEANS):
        doubts.append(
            f"mean {_listed(mean)} is a well-known one in the order BGR, as of OpenCV; images here are RGB,"
            f" for which it is {_listed(mean[::-1])}"
        )
    if _known(mean, _KNOWN_STDS) and _known(std, _KNOWN_MEANS):
        doubts.append(f"mean {_listed(mean)} and std {_listed(std)} are well-known ones the other way round")
    return doubts


def _known(values: Sequence[float], known: Sequence[Sequence[float]]) -> bool:
    return any(max(abs(a - b) for a, b in zip(values, other, strict=True)) < _CLOSE for other in known)


def _remedy(mean: Sequence[float], std: Sequence[float]) -> str:
    if min(mean) < 0 or (max(mean) <= 1 < max(std) <= 2):
        return "A network that takes pixels from -1 to 1 has the mean 0.5,0.5,0.5 and the std 0.5,0.5,0.5."
    of_mean, of_std = on_scale_of_bytes(mean), on_scale_of_bytes(std)
    if of_mean is not None and of_std is None and min(std) == max(std) == 1:
        of_std = [float(f"{1 / 255:.4g}")] * 3  # only a mean was taken off, of pixels from 0 to 255
    meant = [f"{name} {_typed(v)}" for name, v in (("mean", of_mean), ("std", of_std)) if v is not None]
    if meant:
        return f"These are for pixels from 0 to 255; divided by 255: {', '.join(meant)}."
    return "Give those of the training images, with pixels divided by 255."


def _listed(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:g}' for value in values)}]"


def _typed(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)
