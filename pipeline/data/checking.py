"""Hash and fully decode images, so that a broken image is named before hours of training and not after."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from exporters.core.errors import TmkdError
from exporters.images.preprocessing import Preprocessing
from pipeline.data.stores.base import Store

CHUNK = 1024
NARROW = 8


@dataclass(frozen=True)
class CheckedFile:
    """What one image holds.

    Attributes:
        sha256: 32 bytes.
        size: width and height, decoded and upright.
        reason: why it cannot be used, naming the image; None for a good one.
    """

    sha256: bytes = b""
    size: tuple[int, int] = (0, 0)
    reason: str | None = None


def available_processors() -> int:
    """Processors that this process may run on, 8 at most."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, allowed)


def check_files(
    store: Store, paths: Sequence[str], preprocessing: Preprocessing, pool: ThreadPoolExecutor
) -> Iterator[CheckedFile]:
    """Check images in threads (hashing and decoding release the interpreter's lock); results in the order of the paths.

    Args:
        store: where the images lie.
        paths: their keys; taken a chunk at a time, so that waiting work takes no memory to speak of.
        preprocessing: asked about very narrow images, whose longer side would not fit into memory once resized.
        pool: where the work is done.
    """
    for start in range(0, len(paths), CHUNK):
        yield from pool.map(lambda path: check_file(store, path, preprocessing), paths[start : start + CHUNK])


def check_file(store: Store, path: str, preprocessing: Preprocessing) -> CheckedFile:
    """Check one image; one that cannot be used is no error here."""
    name = store.describe(path)
    try:
        digest, image = store.examine(path)
        if max(image.size) > NARROW * min(image.size):
            preprocessing.apply(image)
    except TmkdError as error:
        return CheckedFile(reason=error.message if name in error.message else f"{name}: {error.message}")
    except OSError as error:
        return CheckedFile(reason=f"{name}: the image cannot be read: {error.strerror or error}")
    return CheckedFile(digest, image.size)
