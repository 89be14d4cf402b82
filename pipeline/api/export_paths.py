"""The paths of an export, looked at before anything heavy is loaded."""

import os
from collections.abc import Mapping
from pathlib import Path

from exporters.core.errors import UnavailableError, UsageError
from exporters.images.suffixes import has_image_suffix


def check_paths(checkpoint: Path, out: Path, images: Mapping[str, Path | None], called: str = "CHECKPOINT") -> None:
    """Refuse paths that lead nowhere, and a target folder that holds images.

    Args:
        checkpoint: what is exported.
        out: where the files go.
        images: option → the folder of images that it gives; None where it was left out.
        called: what the user knows `checkpoint` by.

    Raises:
        UsageError: `out` is a folder of images or of class folders.
        UnavailableError: `checkpoint` or a folder of images does not exist.
    """
    given = {called: checkpoint, **{option: path for option, path in images.items() if path is not None}}
    for option, path in given.items():
        if not path.expanduser().exists():
            where = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
            raise UnavailableError(f"{option}: {path} does not exist{where}", remedy="Check the path.")
    if (image := _image_in(out)) is not None:
        raise UsageError(
            f"--out {out}: contains images, such as {image}",
            remedy="Give a folder of its own; it is created if needed.",
        )


def _image_in(folder: Path) -> Path | None:
    """An image in a folder or in a folder of it, relative to it."""
    if not folder.is_dir():
        return None
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if entry.is_file() and has_image_suffix(entry.name):
            return Path(entry.name)
    for entry in found:
        if entry.is_dir():
            with os.scandir(entry.path) as inner:
                for image in inner:
                    if image.is_file() and has_image_suffix(image.name):
                        return Path(entry.name, image.name)
    return None
