"""Folders of labelled images, `<label>/<image>`, and what says that two are the same images under the same labels."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from exporters.errors import UnavailableError, UsageError

_SUFFIXES = frozenset({".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_NUMBER = re.compile(r"^\d+\.")
_SPLITS = ("test", "val", "validation")
_LAYOUT = "Give a folder with a folder of images for each label."


def image_paths(folder: Path) -> list[Path]:
    """Files below a folder that are called as images are, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())


def folders_of(labels: Sequence[str]) -> Callable[[str], int | None]:
    """What gives a folder's name the position of the label that it is called as, None where it is none.

    Labels are as a person writes them: the folder of `blue bar` may be `blue bar`, `blue_bar` or `017.blue_bar`.
    """
    exact = {label: index for index, label in enumerate(labels)}
    read = {_words(label): index for index, label in enumerate(labels)}
    if len(read) < len(exact):
        read = {}

    def place(folder: str) -> int | None:
        for name in (folder, _NUMBER.sub("", folder)):
            found = exact.get(name, read.get(_words(name)))
            if found is not None:
                return found
        return None

    return place


def _words(name: str) -> str:
    return " ".join(name.replace("_", " ").split())


def labelled_paths(folder: Path, labels: Sequence[str]) -> list[tuple[Path, int]]:
    """Each image of `folder/<label>/`, to any depth, with the position of its label.

    Where the folder has no label's folder but `test`, `val` or `validation` has, the first of these is read.

    Raises:
        UsageError: no such folder, or folders with images that are not called as a label.
        UnavailableError: no images.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", remedy=_LAYOUT)
    place_of = folders_of(labels)
    candidates = [root for root in (folder, *(folder / name for name in _SPLITS)) if root.is_dir()]
    named = (root for root in candidates if any(place_of(child.name) is not None for child in root.iterdir()))
    root = next(named, folder)
    found, strange = [], set()
    for path in image_paths(root):
        parts = path.relative_to(root).parts
        place = place_of(parts[0]) if len(parts) > 1 else None
        if place is None:
            strange.add(parts[0])
        else:
            found.append((path, place))
    if strange:
        raise UsageError(
            f"{root}: {', '.join(sorted(strange)[:5])} {'is' if len(strange) == 1 else 'are'} no label of the bundle",
            remedy=f"Images lie in folders that are called as the labels: {', '.join(labels[:5])} …",
        )
    if not found:
        raise UnavailableError(f"{root}: no images here", remedy=_LAYOUT)
    return found


def labelled_digest(images: Iterable[tuple[bytes, str]]) -> str:
    """Hex SHA-256 over (SHA-256 of an image's bytes, label) of all images, whatever their order and file names."""
    lines = sorted(f"{digest.hex()} {json.dumps(label)}\n" for digest, label in images)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
