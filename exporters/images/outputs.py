"""Recognizes folders that this tool wrote, so that none of them is read as a folder of images."""

# Asked of every folder of a data set, so that plain names are used and no path objects.
# ruff: noqa: PTH110, PTH113, PTH118, PTH208

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.core.files import write_text
from exporters.images.suffixes import has_image_suffix

MARKER = ".tmkd-output"
"""A file by which a folder is known as written by this tool; hidden, and no part of what the folder holds."""

_TEXT = "Written by tmkd-pipeline. With this file here, no data set is read from the folder.\n"

_SHAPES = (
    ("recipe.lock.yaml", "stages"),  # a run
    ("manifest.json", "manifest.sha256"),  # a bundle
    ("compare.json", "compare.md"),  # a comparison
    ("benchmark.json", "benchmark.md"),
)
_EXPORTS = (("model.onnx", "preprocess.json", "labels.json"), ("rejected/parity.json",))
_NESTED = 4


def is_output(folder: "str | os.PathLike[str]") -> bool:
    """Whether a folder was written by this tool.

    It has the marker, or the files of a run, bundle, comparison or export, or it holds such folders and nothing else.
    An export may have gone into a folder with images of the user's; such a folder is theirs.
    """
    return _is_output(os.fspath(folder), 0)


def _is_output(folder: str, depth: int) -> bool:
    if os.path.isfile(os.path.join(folder, MARKER)):
        return True
    if any(_has(folder, shape) for shape in _SHAPES):
        return True
    if any(_has(folder, shape) for shape in _EXPORTS):
        return not any(has_image_suffix(name) for name in os.listdir(folder))
    return depth < _NESTED and _holds_outputs_only(folder, depth)


def _has(folder: str, names: tuple[str, ...]) -> bool:
    return all(os.path.exists(os.path.join(folder, name)) for name in names)


def _holds_outputs_only(folder: str, depth: int) -> bool:
    """Such as `runs/`. Ends at the first thing that is none, so that a folder of a million images is soon known."""
    outputs = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    if not entry.is_dir(follow_symlinks=False) or not _is_output(entry.path, depth + 1):
                        return False
                    outputs += 1
    except OSError:
        return False
    return outputs > 0


def mark_output(folder: Path) -> None:
    """Make a folder that takes outputs, and mark it.

    One that is there already is marked only where it is empty: what else it holds is not ours to say.

    Raises:
        UnavailableError: it cannot be made or written.
    """
    with _named_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()) and folder.resolve() != Path.cwd():
            write_text(folder / MARKER, _TEXT)


def write_marker(folder: Path) -> None:
    """Mark a folder that is this tool's own, whatever it holds.

    Raises:
        UnavailableError: it cannot be written.
    """
    with _named_errors(folder):
        write_text(folder / MARKER, _TEXT)


@contextmanager
def _named_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"{folder}: cannot be written ({error.strerror})", remedy="Choose another folder, or make room."
        ) from error
