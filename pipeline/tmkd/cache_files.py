"""Arrays in files that are filled in place, row by row, by several processes if need be."""

import math
import mmap
import os
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from exporters.core.disk import require_room
from exporters.core.errors import UnavailableError
from exporters.core.files import new_temporary, writing

_MAPPED_BYTES = 32 * 2**20
"""Of the rows of an epoch, at most, to be read through memory: pages that were read count as memory of the process."""


class ArrayFile:
    """A `.npy` file `[epochs, images, …]`, zeros when new, whose rows are read and written one by one.

    Rows are written by the system's own calls, never through mapped memory: where the disk has no room for a page of a
    mapped file, the system ends the process rather than give an error. They are read through memory where an epoch is
    small, which costs a tenth of a call for each row.

    Args:
        path: the file; its folder is made if need be. Of several processes that make it at once, one wins and all
            share it.
        shape: `(epochs, images, …)`; a row is all that follows these two.
        dtype: of the values.

    Raises:
        UnavailableError: the disk has no room for the whole array, or the file is another array or damaged.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        if not path.is_file():
            _create(path, shape, self._dtype)
        self.path = path
        self._offset = _data_offset(path, shape, self._dtype)
        self._row_bytes = math.prod(shape[2:]) * self._dtype.itemsize
        with writing(path):
            self._handle = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        weakref.finalize(self, os.close, self._handle)
        self._map: mmap.mmap | None = None
        self._rows: np.ndarray | None = None
        self._mapped_epoch = -1

    def read(self, epoch: int, indices: np.ndarray) -> np.ndarray:
        """Rows `[B, …]` of an epoch, a copy."""
        self._check(epoch, indices)
        if 0 < self._row_bytes * self._shape[1] <= _MAPPED_BYTES:
            return self._mapped(epoch)[indices]
        data = b"".join(os.pread(self._handle, self._row_bytes, place) for place in self._places(epoch, indices))
        return np.frombuffer(bytearray(data), self._dtype).reshape(len(indices), *self._shape[2:])

    def read_all(self, epoch: int) -> np.ndarray:
        """All rows `[images, …]` of an epoch, a copy."""
        self._check(epoch, np.arange(0))
        size, place = self._row_bytes * self._shape[1], self._places(epoch, np.zeros(1, np.int64))[0]
        data = bytearray()
        while len(data) < size and (part := os.pread(self._handle, size - len(data), place + len(data))):
            data += part
        return np.frombuffer(data, self._dtype).reshape(self._shape[1:])

    def write(self, epoch: int, indices: np.ndarray, values: np.ndarray) -> None:
        """Replace rows of an epoch by `[B, …]`.

        Raises:
            WriteError: the disk has no room for them.
        """
        self._check(epoch, indices)
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

    def _check(self, epoch: int, indices: np.ndarray) -> None:
        epochs, images = self._shape[:2]
        if not 0 <= epoch < epochs or (indices.size and not 0 <= indices.min() <= indices.max() < images):
            raise IndexError(f"epoch {epoch} or an image is not among {epochs} epochs of {images} images")

    def _places(self, epoch: int, indices: np.ndarray) -> list[int]:
        return (self._offset + (epoch * self._shape[1] + indices) * self._row_bytes).tolist()

    def _mapped(self, epoch: int) -> np.ndarray:
        """The rows `[images, …]` of an epoch as they are in the file, now and later."""
        if self._map is None:
            self._map = mmap.mmap(self._handle, 0, access=mmap.ACCESS_READ)
            values = np.frombuffer(self._map, self._dtype, math.prod(self._shape), self._offset)
            self._rows = values.reshape(self._shape)
        if epoch != self._mapped_epoch:
            if hasattr(mmap, "MADV_DONTNEED"):
                self._map.madvise(mmap.MADV_DONTNEED)  # the pages of one epoch at a time
            self._mapped_epoch = epoch
        assert self._rows is not None
        return self._rows[epoch]


def row_shape(path: Path) -> tuple[int, ...]:
    """Shape of the rows of an existing file.

    Raises:
        UnavailableError: damaged.
    """
    return _open_mapped(path).shape[2:]


def _create(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    needed = math.prod(shape) * dtype.itemsize
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    remedy = "Lower distill.teacher_cache.passes (0 turns it off), or choose another --run-dir."
    require_room(f"{path.name} of the teacher cache", needed, path.parent, remedy)
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
