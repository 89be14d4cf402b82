"""What a store is: for a key, the bytes that are hashed, the decoded image, and a mark that a change would change."""

import hashlib
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from exporters.core.files import file_state
from exporters.images.decoding import open_rgb

OPEN_FILES = 64


class Store(ABC):
    """Gives the images of a data set by key. Threads may share one; each process opens its own.

    A store is known by its root and its registered name alone (`pipeline.data.stores.registry`): pickled, it is these
    two, and what it has open stays behind.
    """

    def __init__(self, root: Path, argument: str = "") -> None:
        """Open nothing yet.

        Args:
            root: the data set's folder.
            argument: what follows the colon in the store's name.
        """
        self.root = root
        self.argument = argument

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.root, self.argument)

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The bytes that stand for the image's content.

        Raises:
            TmkdError: they cannot be read or must not be; names the image.
            OSError: the file is not there, or cannot be read.
        """

    @abstractmethod
    def mark(self, key: str) -> str:
        """What changes when the image changes, found without reading it: `file_mark` of the files that hold it.

        Raises:
            OSError: the file is not there any more.
        """

    def decode(self, key: str, data: bytes) -> Image.Image:
        """The image, mode RGB and upright, of what `read` gave.

        Raises:
            UnreadableImageError: see `exporters.images.decoding.open_rgb`; names the image.
        """
        return open_rgb(data, self.describe(key))

    def image(self, key: str) -> Image.Image:
        """The image, mode RGB and upright; raises what `read` and `decode` raise."""
        return self.decode(key, self.read(key))

    def examine(self, key: str) -> tuple[bytes, Image.Image]:
        """The SHA-256 of the image's bytes, 32 bytes, and the image; raises what `read` and `decode` raise."""
        data = self.read(key)
        return hashlib.sha256(data).digest(), self.decode(key, data)

    def describe(self, key: str) -> str:
        """The image in words, for messages."""
        return f"{self.root}: image {key}"

    def file(self, key: str) -> Path | None:
        """The file that holds this image alone; None where there is none."""
        return None


class OpenFiles:
    """Reads parts of files by place and keeps a few files open; threads and forked processes may read at once."""

    def __init__(self) -> None:
        self._open: dict[Path, Any] = {}

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer where the file ends before.

        Raises:
            OSError: the file is not there, or cannot be read.
        """
        stream = self._open.get(path)
        if stream is None:
            if len(self._open) >= OPEN_FILES:
                self._open.clear()  # whoever reads from one of them just now still holds it
            stream = self._open[path] = path.open("rb", buffering=0)
        parts = []
        while length > 0 and (part := os.pread(stream.fileno(), length, offset)):
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)


def file_mark(path: Path) -> str:
    """Size, times and inode of a file as text (see `file_state`).

    Raises:
        OSError: the file is not there.
    """
    return " ".join(map(str, file_state(path.stat())))


class FileMarks:
    """Marks of files that hold many images each, looked up once."""

    def __init__(self) -> None:
        self._marks: dict[Path, str] = {}

    def of(self, path: Path) -> str:
        """`file_mark` as it was first; raises OSError where the file is not there."""
        if path not in self._marks:
            self._marks[path] = file_mark(path)
        return self._marks[path]


def image_of_planes(data: bytes, side: int, *, column_major: bool = False) -> Image.Image:
    """A square RGB image of its red, green and blue planes, `[3, side, side]` bytes."""
    planes = np.frombuffer(data, dtype=np.uint8).reshape(3, side, side)
    return Image.fromarray(np.ascontiguousarray(planes.transpose((2, 1, 0) if column_major else (1, 2, 0))))
