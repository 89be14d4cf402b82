"""Arrays in files that are filled in place, row by row, by several processes if need be."""

import math
import os
import shutil
import weakref
from pathlib import Path

import numpy as np

from exporters.core.errors import UnavailableError
from exporters.core.files import new_temporary, writing


class ArrayFile:
    """A `.npy` file `[epochs, images, …]`, zeros when new, whose rows are read and written one by one.

    Nothing is mapped into memory: where the disk has no room for a page of a mapped file, the system ends the process
    rather than give an error.

    Args:
        path: the file; its folder is made if need be. Of several processes that make it at once, one wins and all
            share it.
        shape: `(epochs, images, …)`; a row is all that follows these two.
        dtype: of the values.

    Raises:
        UnavailableError: the disk has no room for the whole array, or the file is another array or damaged.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: type) -> None:
        if not path.is_file():
            _create(path, shape, dtype)
        self.path = path
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._offset = _data_offset(path, shape, self._dtype)
        self._row_bytes = math.prod(shape[2:]) * self._dtype.itemsize
        with writing(path):
            self._handle = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        weakref.finalize(self, os.close, self._handle)

    def read(self, epoch: int, indices: np.ndarray) -> np.ndarray:
        """Rows `[B, …]` of an epoch."""
        data = b"".join(os.pread(self._handle, self._row_bytes, place) for place in self._places(epoch, indices))
        return np.frombuffer(bytearray(data), self._dtype).reshape(len(indices), *self._shape[2:])

    def write(self, epoch: int, indices: np.ndarray, values: np.ndarray) -> None:
        """Replace rows of an epoch by `[B, …]`.

        Raises:
            WriteError: the disk has no room for them.
        """
        rows = np.ascontiguousarray(values, self._dtype)
        with writing(self.path):
            for place, row in zip(self._places(epoch, indices), rows, strict=True):
                data, done = memoryview(row.tobytes()), 0
                while done < len(data):  # a disk that is nearly full takes a part
                    done += os.pwrite(self._handle, data[done:], place + done)

    def flush(self) -> None:
        """Bring what was written to the disk."""
        with writing(self.path):
            os.fsync(self._handle)

    def _places(self, epoch: int, indices: np.ndarray) -> list[int]:
        epochs, images = self._shape[:2]
        if not 0 <= epoch < epochs or (indices.size and not 0 <= indices.min() <= indices.max() < images):
            raise IndexError(f"epoch {epoch} or an image is not among {epochs} epochs of {images} images")
        return [self._offset + (epoch * images + int(index)) * self._row_bytes for index in indices]


def row_shape(path: Path) -> tuple[int, ...]:
    """Shape of the rows of an existing file.

    Raises:
        UnavailableError: damaged.
    """
    return _open_mapped(path).shape[2:]


def _create(path: Path, shape: tuple[int, ...], dtype: type) -> None:
    needed = math.prod(shape) * np.dtype(dtype).itemsize
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise UnavailableError(
            f"the teacher cache needs {needed / 1e9:,.1f} GB for {path.name} and the disk has {free / 1e9:.1f} GB",
            remedy="Lower distill.teacher_cache.passes (0 turns it off), or choose another --run-dir.",
        )
    temporary = new_temporary(path)
    try:
        with writing(path, temporary):
            np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape).flush()
        path.hardlink_to(temporary)
    except FileExistsError:  # another process was sooner
        pass
    finally:
        temporary.unlink(missing_ok=True)


def _data_offset(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Where the values begin in the file."""
    found = _open_mapped(path)
    if found.shape != shape or found.dtype != dtype:
        raise UnavailableError(f"{path}: holds {found.shape}, not {shape}", remedy=f"Remove {path.parent}.")
    return found.offset


def _open_mapped(path: Path) -> np.memmap:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:  # too short, or no such file at all
        raise UnavailableError(f"{path}: damaged ({error})", remedy=f"Remove {path.parent}.") from error
