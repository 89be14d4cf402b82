"""Rows of many arrays, kept in one array that grows."""

from itertools import pairwise

import numpy as np


class GrowingArray:
    """Rows `[n, …]` of one array after another, in one array that doubles when it is full.

    What a loop over batches keeps is small, and made between large arrays that are freed at once. Kept array by array
    it lies scattered between them, and the C library can neither give that room back nor use it for the next large
    array: evaluation of 25,000 images of 32 px by a small network came to hold 500 MB so.
    """

    def __init__(self) -> None:
        self._rows: np.ndarray | None = None
        self._ends = [0]

    def __len__(self) -> int:
        return self._ends[-1]

    def add(self, rows: np.ndarray) -> None:
        """Copy some rows behind the others.

        Raises:
            ValueError: they are of another dtype or shape than the first ones.
        """
        begin, end = self._ends[-1], self._ends[-1] + len(rows)
        if self._rows is None:
            self._rows = np.empty((max(1024, end), *rows.shape[1:]), rows.dtype)
        elif (self._rows.dtype, self._rows.shape[1:]) != (rows.dtype, rows.shape[1:]):
            raise ValueError(
                f"rows {rows.dtype} {list(rows.shape[1:])} after {self._rows.dtype} {list(self._rows.shape[1:])}"
            )
        if end > len(self._rows):
            larger = np.empty((max(2 * len(self._rows), end), *rows.shape[1:]), rows.dtype)
            larger[:begin] = self._rows[:begin]
            self._rows = larger
        self._rows[begin:end] = rows
        self._ends.append(end)

    def array(self) -> np.ndarray:
        """All rows `[N, …]`, without a copy; rows that are added later do not appear in it.

        Raises:
            ValueError: none were ever added.
        """
        if self._rows is None:
            raise ValueError("no rows were added")
        return self._rows[: len(self)]

    def parts(self) -> list[np.ndarray]:
        """The arrays as they were added, without a copy."""
        return [] if self._rows is None else [self._rows[begin:end] for begin, end in pairwise(self._ends)]
