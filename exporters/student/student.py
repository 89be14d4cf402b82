"""The student that exporters take: weights, architecture, preprocessing and labels of one trained classifier.

On disk a student is two files in one folder: `student.safetensors` and `student.json`, which records the sha256 of the
weights. torch is imported when one is saved or loaded, not before.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.core.errors import TmkdError, UnavailableError, UsageError
from exporters.core.files import sha256_bytes, write_bytes, write_json
from exporters.core.process_state import without_draws
from exporters.images.preprocessing import Preprocessing
from exporters.student.architectures import Architecture, build

if TYPE_CHECKING:
    from torch import nn

WEIGHTS_NAME = "student.safetensors"
DESCRIPTION_NAME = "student.json"
CHOSEN = Path("distill") / "chosen"
"""Where a run directory keeps the student that ships."""

_FORMAT = "tmkd-student/1"


@dataclass(frozen=True)
class TrainedStudent:
    """A trained classifier, ready to be exported.

    Args:
        module: in eval mode, fp32, on the CPU; normalised float `[B, 3, H, W]` to logits `[B, K]`.
        labels: K class names, in the order of the logits.
        preprocessing: how an image becomes the input; its mean and std are not part of `module`.
        architecture: how `module` was built.
        weights_sha256: of the safetensors file; "" if the student was never saved.
        name: what the student is called in the exported files.
    """

    module: "nn.Module"
    labels: list[str]
    preprocessing: Preprocessing
    architecture: Architecture
    weights_sha256: str = ""
    name: str = "student"

    @property
    def parameters(self) -> int:
        """Number of trainable values; running statistics are not counted."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def find_student(path: Path) -> Path | None:
    """The folder of a student: `path` itself or, in a run directory, that of its chosen student; None without one."""
    return next((folder for folder in (path, path / CHOSEN) if (folder / DESCRIPTION_NAME).is_file()), None)


def check_labels(labels: Sequence[str]) -> list[str]:
    """Labels as a list, or a UsageError: at least two, all different, none empty, none with a line break."""
    names = list(labels)
    bad = [name for name in names if not _is_line(name)]
    if len(names) < 2 or bad or len(set(names)) != len(names):
        what = "fewer than two labels" if len(names) < 2 else "a label occurs twice"
        what = f"bad label {bad[0]!r:.200}" if bad else what
        raise UsageError(f"labels: {what}", remedy="Labels are two or more different lines of text.")
    return names


def _is_line(name: object) -> bool:
    """Whether this is one line of text that can be written; half of a surrogate pair cannot."""
    if not isinstance(name, str) or not name.strip() or len(name.splitlines()) != 1:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def save_student(
    module: "nn.Module",
    architecture: Architecture,
    labels: Sequence[str],
    preprocessing: Preprocessing,
    folder: Path,
    *,
    name: str = "student",
) -> Path:
    """Write `student.safetensors` and then `student.json` into `folder`; the same weights give the same bytes.

    Args:
        module: what `architecture` builds, with trained weights; on any device.
        labels: K class names.
        name: what the student is called in the exported files.

    Returns:
        The path of `student.json`.
    """
    from safetensors.torch import save

    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in module.state_dict().items()}
    data = save(tensors)
    write_bytes(folder / WEIGHTS_NAME, data)
    description = {
        "format": _FORMAT,
        "name": name,
        "architecture": architecture.to_json(),
        "labels": check_labels(labels),
        "preprocessing": preprocessing.to_json(),
        "weights": {"file": WEIGHTS_NAME, "sha256": sha256_bytes(data)},
    }
    write_json(folder / DESCRIPTION_NAME, description)
    return folder / DESCRIPTION_NAME


def load_student(path: Path) -> TrainedStudent:
    """Load a student from its folder or its `student.json`.

    Raises:
        UnavailableError: a file is missing, the weights are not those that the description recorded, or do not fit
            the architecture.
    """
    path = path / DESCRIPTION_NAME if path.is_dir() else path
    description = _read_description(path)
    try:
        recorded = str(description["weights"]["sha256"])
        architecture = Architecture.from_json(description["architecture"])
        labels = check_labels(description["labels"])
        preprocessing = Preprocessing.from_json(description["preprocessing"])
        name = str(description["name"])
    except (KeyError, TypeError, UsageError) as error:
        reason = error.message if isinstance(error, TmkdError) else f"{type(error).__name__}: {error}"
        raise UnavailableError(f"{path}: malformed student description: {reason}") from error
    weights_path = path.parent / WEIGHTS_NAME
    if not weights_path.is_file():
        raise UnavailableError(f"{weights_path}: the student's weights are missing")
    data = weights_path.read_bytes()
    if sha256_bytes(data) != recorded:
        raise UnavailableError(f"{weights_path}: not the weights that {path.name} records (sha256 differs)")
    with without_draws():
        module = build(architecture, len(labels))
    _load_weights(module, data, weights_path)
    return TrainedStudent(module.eval(), labels, preprocessing, architecture, recorded, name)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UnavailableError(
            f"{path}: no student here", remedy="A student is a folder that holds student.json and student.safetensors."
        ) from error
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{path}: not a student description ({error})") from error
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise UnavailableError(f"{path}: not a student description of format {_FORMAT}")
    return description


def _load_weights(module: "nn.Module", data: bytes, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load

    from exporters.student.state_dict import load_exactly

    try:
        tensors = load(data)
    except SafetensorError as error:
        raise UnavailableError(f"{path}: not a safetensors file ({error})") from error
    load_exactly(module, tensors, str(path))
