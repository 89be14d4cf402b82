"""One kind of the teachers' outputs for each (epoch, image), in a file that says after a crash what it holds."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from exporters.core.errors import UnavailableError
from pipeline.tmkd.cache_files import ArrayFile

STAGE = "stage"
"""`stage0`, `stage1`, …: columns of the maps of stages, shallow to deep."""

_OTHERS_SECONDS = 5.0
"""After which it is looked whether other processes have added rows to an epoch."""


class CacheColumn:
    """Values for each (epoch, image), and marks of which of them are there.

    A value counts once its mark is on the disk, which is brought there after the value: a process that is killed, or a
    machine that loses power, leaves no half value that counts. Several processes may fill one column: equal keys have
    equal values.

    Args:
        path: without suffix; values go to `<path>.npy`, the marks to `<path>.known.npy`.
        epochs, images: the keys.
        shape: of one value.
        storage: the type that values are rounded to.

    Attributes:
        largest_error: of what this object has rounded: the largest difference, relative to the largest number of its
            value.

    Raises:
        UnavailableError: the disk has no room for the whole column, or the files are damaged.
    """

    def __init__(
        self, path: Path, epochs: int, images: int, shape: tuple[int, ...], storage: DTypeLike = np.float32
    ) -> None:
        self._storage = np.dtype(storage)
        self._values = ArrayFile(path.with_name(f"{path.name}.npy"), (epochs, images, *shape), self._storage)
        self._marks = ArrayFile(path.with_name(f"{path.name}.known.npy"), (epochs, images), np.bool_)
        self._pending: list[tuple[int, np.ndarray]] = []
        self._known, self._epoch, self._looked = np.zeros(0, np.bool_), -1, 0.0
        self.largest_error = 0.0

    def known(self, epoch: int, indices: np.ndarray) -> np.ndarray:
        """Which images of an epoch have a value: bool `[B]`."""
        if epoch == self._epoch:
            found = self._known[indices]
            if found.all() or time.monotonic() < self._looked + _OTHERS_SECONDS:
                return found
        self._known, self._epoch, self._looked = self._marks.read_all(epoch), epoch, time.monotonic()
        return self._known[indices]

    def read(self, epoch: int, indices: np.ndarray) -> np.ndarray:
        """Values `[B, …]` of images of an epoch, as they are stored; of images that are not known, anything."""
        return self._values.read(epoch, indices)

    def write(self, epoch: int, indices: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Keep values `[B, …]` float32; they count once `commit` has been called.

        Returns:
            The values as `read` will give them.

        Raises:
            UnavailableError: a number is too large for the storage.
            WriteError: the disk is full.
        """
        stored = values
        if self._storage != values.dtype:
            with np.errstate(over="ignore"):
                stored = values.astype(self._storage)
            self._measure(values, stored)
        self._values.write(epoch, indices, stored)
        self._pending.append((epoch, indices))
        return stored

    def commit(self) -> None:
        """Bring values to the disk, and only then the marks that say so."""
        if not self._pending:
            return
        self._values.flush()
        for epoch, indices in self._pending:
            self._marks.write(epoch, indices, np.ones(len(indices), np.bool_))
            if epoch == self._epoch:
                self._known[indices] = True
        self._marks.flush()
        self._pending.clear()

    def _measure(self, values: np.ndarray, stored: np.ndarray) -> None:
        if not values.size:
            return
        exact, rounded = (array.reshape(len(values), -1).astype(np.float64) for array in (values, stored))
        if not np.isfinite(rounded[np.isfinite(exact)]).all():
            raise UnavailableError(
                f"the teacher cache cannot keep {np.abs(exact[np.isfinite(exact)]).max():.3g} in {self._storage}, whose"
                f" largest number is {np.finfo(self._storage).max:g}",
                remedy="Set distill.teacher_cache.storage to float32.",
            )
        largest = np.abs(exact).max(axis=1)
        errors = np.abs(rounded - exact).max(axis=1) / np.where(largest > 0, largest, 1.0)
        self.largest_error = max(self.largest_error, float(np.nan_to_num(errors).max()))
