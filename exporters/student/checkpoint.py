"""Any classifier of torchvision, timm or the CIFAR family, trained anywhere, as a student.

torch is imported when a checkpoint is loaded, not before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.core.errors import UnavailableError, UsageError
from exporters.core.files import read_json, sha256_file
from exporters.core.process_state import without_draws
from exporters.student.architectures import Architecture, build, resolve
from exporters.student.checkpoint_file import KNOWN_SUFFIXES, has_weights_suffix, read_weights_file, weights_name
from exporters.student.published import Channels, Interpolation, PartialPreprocessing, find_preprocessing
from exporters.student.student import DESCRIPTION_NAME, TrainedStudent, check_labels, find_student, load_student

if TYPE_CHECKING:
    from exporters.student.key_order import OwnKeys

_OTHER_SIZE = (
    "Give the size that it was trained at with --image-size, or the network's own argument for another"
    " (--model-arg img_size=N for many of timm's)."
)


@dataclass(frozen=True)
class CheckpointOptions:
    """What a user says of a checkpoint; None: not given.

    Args:
        model: the network of a weights file, as `exporters.student.architectures.resolve` takes it; a student names
            its own.
        arguments: of the network's builder.
        image_size: side of the square that the network sees.
        resize: the shorter side before the centre crop; None: as published for this size, else `default_resize`.
        mean, std: for images in [0, 1]. These, and the sizes and the filter, are those that timm or torchvision
            publish for the network where they are not given; a note says so.
        interpolation: Pillow's filter.
        weights_key: which set of weights of a file that holds several; None: see `read_weights_file`.
        labels: K names in the order of the logits; None: the student's own, or `class_0`, `class_1`, … as many as the
            classifier has.
        name: what the student is called in the exported files; None: the file's name.
    """

    model: str | None = None
    arguments: Mapping[str, Any] | None = None
    image_size: int | None = None
    resize: int | None = None
    mean: Channels | None = None
    std: Channels | None = None
    interpolation: Interpolation | None = None
    weights_key: str | None = None
    labels: Sequence[str] | None = None
    name: str | None = None

    @property
    def preprocessing(self) -> PartialPreprocessing:
        """What is given of the preprocessing."""
        return PartialPreprocessing(self.mean, self.std, self.image_size, self.resize, self.interpolation)

    def known_to_student(self) -> list[str]:
        """Names of the given options that a student's own description answers."""
        return [
            key
            for key, value in vars(self).items()
            if key not in ("labels", "name") and value is not None and not (key == "arguments" and not value)
        ]


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A student loaded from a checkpoint.

    Attributes:
        student: what is exported.
        notes: one line for each assumption that was made, for the user to check.
        mapped: how many foreign keys were mapped to the network's own by their order, which only accuracy proves.
        calibration: of a run's student, where its run calibrated it: `temperature`, and `splits` as a bundle has them.
    """

    student: TrainedStudent
    notes: tuple[str, ...] = ()
    mapped: int = 0
    calibration: Mapping[str, Any] | None = None


def load_checkpoint(path: Path, options: CheckpointOptions | None = None) -> LoadedCheckpoint:
    """Load a checkpoint for export.

    Args:
        path: a student's folder or `student.json`, a run directory (its chosen student), or a weights file in the
            forms of `exporters.student.checkpoint_file`.
        options: what the user says of it.

    Raises:
        UsageError: an option is missing, contradicts the student, or is out of bounds; or the network does not take
            such images.
        UnavailableError: no such file, or it does not fit the network; the message names the keys.
    """
    path, options = path.expanduser(), options or CheckpointOptions()
    folder = path if path.name == DESCRIPTION_NAME and path.is_file() else find_student(path)
    if folder is not None:
        return _from_student(path, folder, options)
    if path.is_dir() or path.suffix == ".json":
        raise UnavailableError(
            f"{path}: no student here",
            remedy="A student's folder holds student.json, a run directory distill/chosen/student.json.",
        )
    if path.exists() and not has_weights_suffix(path.name):
        raise UsageError(f"{path}: not a weights file by its name", remedy=f"Known suffixes: {KNOWN_SUFFIXES}.")
    if options.model is None:
        raise UsageError(f"{path}: weights alone do not say of which network", remedy="Add e.g. --model resnet18.")
    source, bare = resolve(options.model)
    return _from_weights(path, Architecture(bare, source, dict(options.arguments or {})), options)


def _from_student(path: Path, folder: Path, options: CheckpointOptions) -> LoadedCheckpoint:
    from exporters.student.trial import try_network

    if superfluous := options.known_to_student():
        raise UsageError(
            f"{path} is a student, which says of itself what {', '.join(superfluous)} would say", remedy="Leave it out."
        )
    student = load_student(folder)
    try_network(student.module, student.preprocessing.size, str(path), remedy=f"Check {DESCRIPTION_NAME}.")
    if options.labels is not None:
        student = replace(student, labels=_checked_labels(options.labels, len(student.labels), path))
    verdict = _verdict(path)
    named = replace(student, name=options.name or student.name)
    return LoadedCheckpoint(
        named, tuple(_missed_gates(verdict)), calibration=_calibration(verdict, student.weights_sha256)
    )


def _verdict(run: Path) -> dict[str, Any]:
    """What a run found of its student; empty where the path is no run directory, or not that far."""
    verdict = run / "validate" / "verdict.json"
    return dict(read_json(verdict)) if verdict.is_file() else {}


def _missed_gates(verdict: Mapping[str, Any]) -> list[str]:
    """A line for each gate that the student of a run directory missed."""
    return [
        f"the student missed a gate of its run, {gate['key']}: {gate['measured']:.4g}, asked for {gate['bound']:g}"
        for gate in verdict.get("gates", [])
        if not gate["passed"]
    ]


def shipped_calibration(verdict: Mapping[str, Any]) -> dict[str, Any] | None:
    """The temperature of a run's verdict and its figures, as a manifest has them; None where it applies none."""
    found = verdict.get("calibration")
    if found is None or found["off"]:
        return None
    return {key: found[key] for key in ("temperature", "splits")}


def _calibration(verdict: Mapping[str, Any], weights_sha256: str) -> dict[str, Any] | None:
    """`shipped_calibration`, where the run fitted it to these very weights."""
    calibration = shipped_calibration(verdict)
    fits = calibration is not None and verdict["calibration"]["weights_sha256"] == weights_sha256
    return calibration if fits else None


def _from_weights(path: Path, architecture: Architecture, options: CheckpointOptions) -> LoadedCheckpoint:
    import torch

    from exporters.student.key_order import with_own_keys
    from exporters.student.state_dict import fit_state, without_auxiliary_heads
    from exporters.student.trial import try_network

    called = f"{architecture.source}:{architecture.name}"
    file = read_weights_file(path, options.weights_key, "--weights-key")
    preprocessing, notes = find_preprocessing(architecture, options.preprocessing, file.settings, path)
    with torch.random.fork_rng(devices=[]):
        network = build(architecture, 2)
        two, three = network.state_dict(), build(architecture, 3).state_dict()
    state = without_auxiliary_heads(file.state, network, architecture)
    own_keys = with_own_keys(two, state, ordered=file.ordered, free_head=True)
    classes = _classes(architecture, [key for key in two if two[key].shape != three[key].shape], own_keys, path)
    if choice := file.choice("--weights-key"):
        notes.insert(0, choice)
    if own_keys.mapped:
        notes.append(f"{path.name}: {own_keys.note}")
    if options.labels is None:
        labels = [f"class_{index}" for index in range(classes)]
        notes.append(f"no labels were given: the {classes} classes are called class_0 to class_{classes - 1}")
    else:
        labels = _checked_labels(options.labels, classes, path)
    with without_draws():
        module = build(architecture, classes)
    remedy = f"Check that this is {called}, and that its builder needs no further arguments."
    fit_state(module, own_keys.state, str(path), replace_head=False, remedy=remedy, reason=own_keys.reason)
    logits = try_network(module, preprocessing.size, called, remedy=_OTHER_SIZE)
    if logits.shape[1] != classes:
        raise UsageError(f"{called}: the network gives {logits.shape[1]} values an image for {classes} classes")
    name = options.name or weights_name(path) or "student"
    student = TrainedStudent(module.eval(), check_labels(labels), preprocessing, architecture, sha256_file(path), name)
    return LoadedCheckpoint(student, tuple(notes), mapped=len(own_keys.mapped))


def _classes(architecture: Architecture, keys: list[str], own_keys: "OwnKeys", path: Path) -> int:
    """The number of classes, from those tensors whose shape depends on it."""
    called, state = f"{architecture.source}:{architecture.name}", own_keys.state
    if not keys:
        raise UsageError(
            f"{called} has no classifier when built with {architecture.arguments}",
            remedy="Leave out arguments that take it off, such as features_only.",
        )
    found = {int(state[key].shape[0]) for key in keys if key in state and state[key].ndim > 0}
    if len(found) != 1:
        reason = "it has none of" if not found else f"these disagree, with {sorted(found)} classes:"
        by_order = f". Nor can its keys be mapped by their order: {own_keys.reason}" if own_keys.reason else ""
        raise UnavailableError(
            f"{path}: the number of classes cannot be read from it: {reason} {', '.join(keys[:4])}{by_order}",
            remedy=f"Check that this is {called}, with its classifier.",
        )
    return found.pop()


def _checked_labels(labels: Sequence[str], classes: int, path: Path) -> list[str]:
    names = check_labels(labels)
    if len(names) != classes:
        raise UsageError(
            f"{len(names)} labels, but {path} has {classes} classes", remedy="Give one label for each class."
        )
    return names
