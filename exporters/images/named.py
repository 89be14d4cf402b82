"""The images that a person names: files, folders, patterns, and a list on standard input."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from exporters.core.errors import UsageError
from exporters.images.scan import Scan

STANDARD_INPUT = "-"


def named_images(names: Sequence[str], listed: Iterable[str]) -> Iterator[Path]:
    """Paths of images, in the order in which they are named.

    Args:
        names: files; folders, of which all images are taken, those of folders below too; patterns such as
            `photos/**/*.jpg`, for shells that do not know them; and `-` for a list.
        listed: lines of the list, a file or folder each; read as far as images are asked for.

    Raises:
        UsageError: a folder has no image, a pattern fits nothing, or `-` is named twice.
        UnavailableError: a folder cannot be listed.
    """
    if list(names).count(STANDARD_INPUT) > 1:
        raise UsageError("standard input can be read once", remedy="Name - once.")
    for name in names:
        if name == STANDARD_INPUT:
            for line in listed:
                if path := line.rstrip("\r\n"):
                    yield from _of(Path(path))
        elif glob.has_magic(name) and not Path(name).exists():
            found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (a pattern may be absolute)
            if not found:
                raise UsageError(f"{name}: nothing fits this pattern")
            for path in found:
                yield from _of(Path(path))
        else:
            yield from _of(Path(name))


def _of(path: Path) -> Iterator[Path]:
    """A file itself, whether it is there or not; the images of a folder."""
    if not path.is_dir():
        yield path
        return
    below = Scan(path).images_below(path)
    if not below:
        raise UsageError(f"{path}: no image is in this folder or below it")
    yield from (path / name for name in below)
