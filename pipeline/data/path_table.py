"""Many paths without a Python object for each."""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np


def printable(path: str) -> str:
    """A path whose bytes are not UTF-8, as text that can be written."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class PathTable(Sequence[str]):
    """Many paths in two arrays: UTF-8 text end to end, and where each path begins."""

    def __init__(self, text: np.ndarray, offsets: np.ndarray) -> None:
        """Take `text` uint8 `[T]` and `offsets` int64 `[N + 1]`, rising from 0 to T."""
        self.text = text
        self.offsets = offsets

    @classmethod
    def of(cls, paths: Sequence[str]) -> "PathTable":
        """Pack paths; names that are not UTF-8 come back as they were."""
        encoded = [path.encode("utf-8", "surrogateescape") for path in paths]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(path) for path in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        part = self.text[self.offsets[position] : self.offsets[position + 1]]
        return part.tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))
