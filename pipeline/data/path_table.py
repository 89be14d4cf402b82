"""Many paths without a Python object for each."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np


def printable(path: str) -> str:
    """A path whose bytes are not UTF-8, as text that can be written."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _Paths(Sequence[str]):
    """What both tables share: reading, and being equal to any sequence of the same texts."""

    def _bytes(self, position: int) -> bytes:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._bytes(range(len(self))[index]).decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str) or not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(ours == theirs for ours, theirs in zip(self, other, strict=True))

    def __add__(self, other: Iterable[str]) -> list[str]:
        return [*self, *other]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"{type(self).__name__}([{shown}{', …' if len(self) > 3 else ''}])"


class PathTable(_Paths):
    """Many paths in two arrays: UTF-8 text end to end, and where each path begins."""

    def __init__(self, text: np.ndarray, offsets: np.ndarray) -> None:
        """Take `text` uint8 `[T]` and `offsets` int64 `[N + 1]`, rising from 0 to T."""
        self.text = text
        self.offsets = offsets

    @classmethod
    def of(cls, paths: Iterable[str]) -> "PathTable":
        """Pack paths; names that are not UTF-8 come back as they were."""
        return PathList(paths).table()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def select(self, mask: np.ndarray) -> "PathTable":
        """The paths where a bool `[N]` mask is true, in their order; takes their own memory and little more."""
        edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
        runs = edges.reshape(-1, 2)  # first path of each run, and the first behind it
        offsets = np.zeros(int(mask.sum()) + 1, dtype=np.int64)
        np.cumsum(np.diff(self.offsets)[mask], out=offsets[1:])
        text = np.empty(offsets[-1], dtype=np.uint8)
        filled = 0
        for start, end in zip(self.offsets[runs[:, 0]].tolist(), self.offsets[runs[:, 1]].tolist(), strict=True):
            text[filled : filled + end - start] = self.text[start:end]
            filled += end - start
        return PathTable(text, offsets)

    def _bytes(self, position: int) -> bytes:
        return self.text[self.offsets[position] : self.offsets[position + 1]].tobytes()


class PathList(_Paths):
    """Many paths that a reader still adds to: the same two arrays, growing."""

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._text = bytearray()
        self._offsets = array("q", [0])
        self.extend(paths)

    def append(self, path: str) -> None:
        """Add one path.

        Raises:
            BufferError: a `table` of this list is in use.
        """
        self._text += path.encode("utf-8", "surrogateescape")
        self._offsets.append(len(self._text))

    def extend(self, paths: Iterable[str]) -> None:
        """Add many; see `append`."""
        for path in paths:
            self.append(path)

    def table(self) -> PathTable:
        """The same memory as arrays, without a copy; while they are in use, the list cannot grow."""
        return PathTable(np.frombuffer(self._text, dtype=np.uint8), np.frombuffer(self._offsets, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def _bytes(self, position: int) -> bytes:
        return bytes(self._text[self._offsets[position] : self._offsets[position + 1]])
