"""The preprocessing of a weights file: given by the user, stored by the training script, or published."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from exporters.core.errors import UsageError
from exporters.images.normalisation import check_normalisation, normalisation_doubts
from exporters.images.preprocessing import Preprocessing
from exporters.images.sizes import default_resize
from exporters.student.architectures import Architecture

Channels = tuple[float, float, float]
Interpolation = Literal["bilinear", "bicubic"]
_CIFAR_SIZE = 32
_OTHERWISE_NORMALISED = {"googlenet", "inception_v3"}  # torchvision's files expect another than they publish


@dataclass(frozen=True)
class _Published:
    """The preprocessing that a library publishes for its own weights of a network."""

    source: str
    mean: Channels
    std: Channels
    size: int
    resize: int
    interpolation: Interpolation


@dataclass(frozen=True)
class PartialPreprocessing:
    """As much of a preprocessing as is known; None for the rest."""

    mean: Channels | None = None
    std: Channels | None = None
    image_size: int | None = None
    resize: int | None = None
    interpolation: Interpolation | None = None


def find_preprocessing(
    architecture: Architecture, given: PartialPreprocessing, settings: Mapping[str, Any], path: Path
) -> tuple[Preprocessing, list[str]]:
    """Find the preprocessing of a weights file; gives it with a line for each assumption.

    Args:
        architecture: the network.
        given: by the user, which goes before all else.
        settings: the training script's own, as `WeightsFile.settings` has them; before what is published.
        path: of the file, for messages.

    Raises:
        UsageError: something is not known from anywhere, or out of bounds.
    """
    notes = []
    if (given.mean is None) != (given.std is None):
        one, other = ("--mean", "--std") if given.std is None else ("--std", "--mean")
        raise UsageError(
            f"{one} without {other}: one of them alone is of no training",
            remedy="Give both as it was trained, or none.",
        )
    if given.mean is not None and given.std is not None:
        check_normalisation(given.mean, given.std, ("--mean", "--std"))
    kept = kept_by_script(settings, path)
    known, taken = _first_of(given, kept)
    if taken:
        notes.append(f"{', '.join(taken)}: as the training script kept them in {path.name}")
    published = _published(architecture)
    if published is not None:
        same_size = known.image_size in (None, published.size)
        offered = PartialPreprocessing(
            published.mean,
            published.std,
            published.size,
            published.resize if same_size else None,
            published.interpolation,
        )
        known, taken = _first_of(known, offered)
        published_names = [name for name in taken if name != "resize"]
        if published_names:
            notes.append(
                f"{', '.join(published_names)}: as published for {published.source}; give them if yours are others"
            )
    elif architecture.source == "cifar":
        known, _ = _first_of(known, PartialPreprocessing(image_size=_CIFAR_SIZE))
    mean, std, size = known.mean, known.std, known.image_size
    if mean is None or std is None or size is None:
        missing = [key for key, value in (("--mean", mean), ("--std", std), ("--image-size", size)) if value is None]
        raise UsageError(
            f"nothing is published of the preprocessing of {architecture.source}:{architecture.name}:"
            f" {', '.join(missing)} must be given",
            remedy="Use what it was trained with, e.g. --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225.",
        )
    check_normalisation(mean, std, ("--mean", "--std"))
    resize = default_resize(size) if known.resize is None else known.resize
    notes += normalisation_doubts(mean, std)
    return Preprocessing(size, resize, mean, std, known.interpolation or "bilinear"), notes


_CALLED = {"image_size": "image size", "interpolation": "filter"}


def _first_of(given: PartialPreprocessing, offered: PartialPreprocessing) -> tuple[PartialPreprocessing, list[str]]:
    """Fill the gaps of `given` from `offered`: (the result, names of what was taken from `offered`)."""
    merged, taken = {}, []
    for item in fields(PartialPreprocessing):
        own, other = getattr(given, item.name), getattr(offered, item.name)
        merged[item.name] = other if own is None else own
        if own is None and other is not None:
            taken.append(_CALLED.get(item.name, item.name))
    return PartialPreprocessing(**merged), taken


def kept_by_script(settings: Mapping[str, Any], path: Path) -> PartialPreprocessing:
    """What timm's and torchvision's scripts keep as `args`; null there means that the published values were used.

    Args:
        settings: as `WeightsFile.settings` has them.
        path: of the file, for messages.

    Raises:
        UsageError: a mean or std out of bounds.
    """

    def channels(name: str) -> Channels | None:
        value = settings.get(name)
        if not isinstance(value, list | tuple) or len(value) != 3:
            return None
        return _channels(value) if all(isinstance(number, int | float) for number in value) else None

    def whole(*names: str) -> int | None:
        found = [settings.get(name) for name in names]
        return next((value for value in found if type(value) is int and value > 0), None)

    shape = settings.get("input_size")
    of_shape = shape[-1] if isinstance(shape, list | tuple) and shape and type(shape[-1]) is int else None
    size = whole("img_size", "val_crop_size") or of_shape
    mean, std = channels("mean"), channels("std")
    filter_name = settings.get("interpolation")
    interpolation: Any = filter_name if filter_name in ("bilinear", "bicubic") else None
    if mean is None or std is None:
        mean = std = None
    else:
        check_normalisation(mean, std, (f"{path}: args.mean", f"{path}: args.std"))
    return PartialPreprocessing(mean, std, size, whole("val_resize_size") if size else None, interpolation)


def _published(architecture: Architecture) -> _Published | None:
    if architecture.source == "torchvision":
        return _torchvision(architecture.name)
    return _timm(architecture.name) if architecture.source == "timm" else None


def _torchvision(name: str) -> _Published | None:
    from torchvision.models import get_model_weights

    published: Any = getattr(get_model_weights(name), "DEFAULT", None)
    if published is None or name in _OTHERWISE_NORMALISED:
        return None
    transform = published.transforms()
    return _Published(
        f"torchvision {published}",
        _channels(transform.mean),
        _channels(transform.std),
        int(transform.crop_size[0]),
        max(int(transform.resize_size[0]), int(transform.crop_size[0])),
        "bicubic" if transform.interpolation.value == "bicubic" else "bilinear",
    )


def _timm(name: str) -> _Published | None:
    import timm

    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if config is None or config.input_size[0] != 3:
        return None
    size = int(config.input_size[-1])
    return _Published(
        f"timm {name}{'.' + config.tag if config.tag else ''}",
        _channels(config.mean),
        _channels(config.std),
        size,
        max(size, math.floor(size / (config.crop_pct or 1))),
        "bicubic" if config.interpolation == "bicubic" else "bilinear",
    )


def _channels(values: Sequence[float]) -> Channels:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
