"""Folders of labelled images, `<label>/<image>`, and what says that two are the same images under the same labels."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from exporters.errors import UnavailableError, UsageError

_SUFFIXES = frozenset({".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_SPLITS = ("test", "val", "validation")
_LAYOUT = "Give a folder with a folder of images for each label."


def image_paths(folder: Path) -> list[Path]:
    """Files below a folder that are called as images are, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())


def labelled_paths(folder: Path, labels: Sequence[str]) -> list[tuple[Path, int]]:
    """Each image of `folder/<label>/`, to any depth, with the position of its label.

    Where the folder has no label's folder but `test`, `val` or `validation` has, the first of these is read.

    Raises:
        UsageError: no such folder, or folders with images that are not called as a label.
        UnavailableError: no images.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", remedy=_LAYOUT)
    places = {label: index for index, label in enumerate(labels)}
    candidates = [folder, *(folder / name for name in _SPLITS)]
    root = next((found for found in candidates if any((found / label).is_dir() for label in labels)), folder)
    found = [(path, path.relative_to(root).parts) for path in image_paths(root)]
    strange = sorted({parts[0] for _, parts in found if len(parts) < 2 or parts[0] not in places})
    if strange:
        raise UsageError(
            f"{root}: {', '.join(strange[:5])} {'is' if len(strange) == 1 else 'are'} no label of the bundle",
            remedy=f"Images lie in folders that are called as the labels: {', '.join(labels[:5])} …",
        )
    if not found:
        raise UnavailableError(f"{root}: no images here", remedy=_LAYOUT)
    return [(path, places[parts[0]]) for path, parts in found]


def labelled_digest(images: Iterable[tuple[bytes, str]]) -> str:
    """Hex SHA-256 over (SHA-256 of an image's bytes, label) of all images, whatever their order and file names."""
    lines = sorted(f"{digest.hex()} {json.dumps(label)}\n" for digest, label in images)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
