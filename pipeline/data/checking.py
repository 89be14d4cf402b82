"""Hash and fully decode files, so that a broken image is named before hours of training and not after."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from exporters.errors import TmkdError
from exporters.files import sha256_file
from exporters.images import open_rgb
from exporters.preprocessing import Preprocessing

CHUNK = 1024
NARROW = 8


@dataclass(frozen=True)
class CheckedFile:
    """What one file holds.

    Attributes:
        sha256: 32 bytes.
        size: width and height, decoded and upright.
        reason: why it cannot be used, naming the file; None for a good one.
    """

    sha256: bytes = b""
    size: tuple[int, int] = (0, 0)
    reason: str | None = None


def available_processors() -> int:
    """Processors that this process may run on, 8 at most."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, allowed)


def check_files(
    root: Path, paths: Sequence[str], preprocessing: Preprocessing, pool: ThreadPoolExecutor
) -> Iterator[CheckedFile]:
    """Check files in threads (hashing and decoding release the interpreter's lock); results in the order of the paths.

    Args:
        root: the folder that `paths` are relative to.
        paths: the files; taken a chunk at a time, so that waiting work takes no memory to speak of.
        preprocessing: asked about very narrow images, whose longer side would not fit into memory once resized.
        pool: where the work is done.
    """
    for start in range(0, len(paths), CHUNK):
        yield from pool.map(lambda path: check_file(root / path, preprocessing), paths[start : start + CHUNK])


def check_file(path: Path, preprocessing: Preprocessing) -> CheckedFile:
    """Check one file; a file that cannot be used is no error here."""
    try:
        digest = sha256_file(path)
        image = open_rgb(path)
        if max(image.size) > NARROW * min(image.size):
            preprocessing.apply(image)
    except TmkdError as error:
        return CheckedFile(reason=error.message if str(path) in error.message else f"{path}: {error.message}")
    except OSError as error:
        return CheckedFile(reason=f"{path}: the image cannot be read: {error.strerror or error}")
    return CheckedFile(bytes.fromhex(digest), image.size)
