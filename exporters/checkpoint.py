"""Any classifier of torchvision, timm or the CIFAR family, trained anywhere, as a student.

torch is imported when a checkpoint is loaded, not before.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from exporters.architectures import Architecture, build, resolve
from exporters.errors import UnavailableError, UsageError
from exporters.files import sha256_file
from exporters.preprocessing import Preprocessing
from exporters.student import DESCRIPTION_NAME, Student, check_labels, load_student

if TYPE_CHECKING:
    from torch import Tensor

Channels = tuple[float, float, float]
Interpolation = Literal["bilinear", "bicubic"]
SUFFIXES = (".safetensors", ".pt", ".pth", ".th", ".bin")
_CHOSEN = Path("distill") / "chosen"  # where a run directory keeps the student that ships
_CIFAR_SIZE = 32
_OTHERWISE_NORMALISED = {"googlenet", "inception_v3"}  # torchvision's files expect another than they publish
_SMALLEST_WITH_MARGIN = 96  # as recipes have it: smaller images are resized to what the network sees


@dataclass(frozen=True)
class Checkpoint:
    """A student, and what was taken for granted to make it one: lines that its owner should read."""

    student: Student
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Published:
    """The preprocessing that a library publishes for its own weights of a network."""

    source: str
    mean: Channels
    std: Channels
    size: int
    resize: int
    interpolation: Interpolation


def load_checkpoint(
    path: Path,
    *,
    model: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    labels: Sequence[str] | None = None,
    image_size: int | None = None,
    resize: int | None = None,
    mean: Channels | None = None,
    std: Channels | None = None,
    interpolation: Interpolation | None = None,
    name: str | None = None,
) -> Checkpoint:
    """Load a checkpoint for export.

    Args:
        path: a student's folder or `student.json`, a run directory (its chosen student), or a weights file:
            `.safetensors`, or a `.pt`, `.pth`, `.th` or `.bin` state dict, in the forms of
            `exporters.state_dict.read_state_dict`.
        model: the network of a weights file, as `exporters.architectures.resolve` takes it; a student names its own.
        arguments: of the network's builder.
        labels: K names in the order of the logits; None: the student's own, or `class_0`, `class_1`, … as many as the
            classifier has.
        image_size: side of the square that the network sees.
        resize: the shorter side before the centre crop; None: as published for this size, else 8/7 of it (below 96
            pixels: the size itself).
        mean, std: for images in [0, 1]. These, and the sizes and the filter, are those that timm or torchvision
            publish for the network where they are not given; a note says so.
        interpolation: Pillow's filter.
        name: what the student is called in the exported files; None: the file's.

    Raises:
        UsageError: something is missing, or contradicts the student.
        UnavailableError: no such file, or it does not fit the network; the keys are told.
    """
    path = path.expanduser()
    folder = _student_at(path)
    if folder is not None:
        given = {
            "model": model, "arguments": arguments or None, "image_size": image_size, "resize": resize, "mean": mean,
            "std": std, "interpolation": interpolation,
        }  # fmt: skip
        told = [key for key, value in given.items() if value is not None]
        if told:
            raise UsageError(
                f"{path} is a student, which says of itself what {', '.join(told)} would say", remedy="Leave it out."
            )
        student = load_student(folder)
        if labels is not None:
            student = replace(student, labels=_fitting(labels, len(student.labels), path))
        return Checkpoint(replace(student, name=name or student.name))
    if path.is_dir() or path.suffix == ".json":
        raise UnavailableError(
            f"{path}: no student here",
            remedy="A student's folder holds student.json, a run directory distill/chosen/student.json.",
        )
    if path.exists() and path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: not a checkpoint's suffix", remedy=f"Known: {', '.join(SUFFIXES)}.")
    if model is None:
        raise UsageError(f"{path}: weights alone do not say of which network", remedy="Add e.g. --model resnet18.")
    source, bare = resolve(model)
    architecture = Architecture(bare, source, dict(arguments or {}))
    return _from_weights(path, architecture, labels, image_size, resize, mean, std, interpolation, name)


def _student_at(path: Path) -> Path | None:
    if path.name == DESCRIPTION_NAME and path.is_file():
        return path
    return next((folder for folder in (path, path / _CHOSEN) if (folder / DESCRIPTION_NAME).is_file()), None)


def _from_weights(
    path: Path,
    architecture: Architecture,
    labels: Sequence[str] | None,
    image_size: int | None,
    resize: int | None,
    mean: Channels | None,
    std: Channels | None,
    interpolation: Interpolation | None,
    name: str | None,
) -> Checkpoint:
    from exporters.state_dict import fit_state, read_state_dict

    called = f"{architecture.source}:{architecture.name}"
    preprocessing, notes = _preprocessing(architecture, image_size, resize, mean, std, interpolation)
    state = read_state_dict(path)
    classes = _classes(architecture, state, path)
    if labels is None:
        names = [f"class_{index}" for index in range(classes)]
        notes.append(f"no labels were given: the {classes} classes are called class_0 to class_{classes - 1}")
    else:
        names = _fitting(labels, classes, path)
    module = build(architecture, classes)
    remedy = f"Check that this is {called}, and that its builder needs no further arguments."
    fit_state(module, state, str(path), replace_head=False, remedy=remedy)
    module.eval()
    student = Student(
        module, check_labels(names), preprocessing, architecture, sha256_file(path), name or path.stem or "student"
    )
    return Checkpoint(student, tuple(notes))


def _classes(architecture: Architecture, state: "Mapping[str, Tensor]", path: Path) -> int:
    """The number of classes, from those tensors whose shape depends on it."""
    import torch

    with torch.random.fork_rng(devices=[]):
        two, three = (build(architecture, classes).state_dict() for classes in (2, 3))
    keys = [key for key in two if two[key].shape != three[key].shape]
    found = {int(state[key].shape[0]) for key in keys if key in state and state[key].ndim > 0}
    if len(found) != 1:
        reason = "it has none of" if not found else f"these disagree, with {sorted(found)} classes:"
        raise UnavailableError(
            f"{path}: the number of classes cannot be read from it: {reason} {', '.join(keys[:4])}",
            remedy=f"Check that this is {architecture.source}:{architecture.name}, with its classifier.",
        )
    return found.pop()


def _fitting(labels: Sequence[str], classes: int, path: Path) -> list[str]:
    names = check_labels(labels)
    if len(names) != classes:
        raise UsageError(f"{len(names)} labels, but {path} has {classes} classes", remedy="Give one label a class.")
    return names


def _preprocessing(
    architecture: Architecture,
    image_size: int | None,
    resize: int | None,
    mean: Channels | None,
    std: Channels | None,
    interpolation: Interpolation | None,
) -> tuple[Preprocessing, list[str]]:
    called = f"{architecture.source}:{architecture.name}"
    published = _published(architecture)
    notes = []
    if published is not None:
        taken = [
            key
            for key, value in (("mean", mean), ("std", std), ("image size", image_size), ("filter", interpolation))
            if value is None
        ]
        if taken:
            notes.append(f"{', '.join(taken)}: as published for {published.source}; give them if yours are others")
        mean, std = mean or published.mean, std or published.std
        if (image_size is None or image_size == published.size) and resize is None:
            resize = published.resize
        image_size, interpolation = image_size or published.size, interpolation or published.interpolation
    elif architecture.source == "cifar":
        image_size = image_size or _CIFAR_SIZE
    missing = [key for key, value in (("--mean", mean), ("--std", std), ("--image-size", image_size)) if value is None]
    if mean is None or std is None or image_size is None:
        raise UsageError(
            f"nothing is published of the preprocessing of {called}: {', '.join(missing)} must be given",
            remedy="Use what it was trained with, e.g. --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225.",
        )
    if resize is None:
        resize = image_size if image_size < _SMALLEST_WITH_MARGIN else round(image_size * 8 / 7)
    return Preprocessing(image_size, resize, mean, std, interpolation or "bilinear"), notes


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


def read_labels(path: Path) -> list[str]:
    """Labels from a file: text with one a line, a JSON list, or a JSON object `{index: label}` or `{label: index}`.

    Raises:
        UnavailableError: it cannot be read.
        UsageError: no such list, or not two or more different lines of text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        value: Any = json.loads(text) if path.suffix == ".json" else text.splitlines()
    except FileNotFoundError as error:
        raise UnavailableError(f"{path}: no such labels file") from error
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{path}: not a labels file ({error})") from error
    if isinstance(value, dict):
        value = _ordered(value, path)
    if not isinstance(value, list):
        raise UsageError(f"{path}: neither a list of labels nor an object of labels and indices")
    while path.suffix != ".json" and value and not value[-1].strip():
        value.pop()
    try:
        return check_labels(value)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", remedy=error.remedy) from error


def _ordered(value: dict[str, Any], path: Path) -> list[Any]:
    if all(isinstance(index, int) and not isinstance(index, bool) for index in value.values()):
        by_index = {index: label for label, index in value.items()}
    else:
        by_index = {int(key): label for key, label in value.items() if key.isascii() and key.isdecimal()}
    if len(by_index) != len(value) or sorted(by_index) != list(range(len(value))):
        raise UsageError(f"{path}: its indices are not 0 to {len(value) - 1}, each once")
    return [by_index[index] for index in range(len(by_index))]
