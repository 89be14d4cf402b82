"""Streams that archives are read through: bounded, forwards only, counted."""

import os
from typing import IO

from exporters.core.progress import Steps

CHUNK = 2**20
LARGEST_READ = 2**24
"""No reader of an archive asks for so much at once but for a header that claims to be that long."""


class RefusedError(Exception):
    """An archive that must not be unpacked; the text says why."""


class Forward:
    """A stream read forwards in bounded steps: as far as tarfile goes back, which is the last byte again."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream = stream
        self._most = most
        self._position = 0
        self._last = b""
        self._again = False

    def read(self, size: int = -1) -> bytes:
        """The next bytes; never so many that a header's word alone could fill the memory."""
        if not 0 <= size <= LARGEST_READ:
            raise RefusedError(f"a header of it claims to be {size:,} bytes long")
        if self._again and size:
            self._again = False
            return self._last + self.read(size - 1)
        data = self._stream.read(size)
        self._position += len(data)
        if self._position > self._most:
            raise RefusedError(f"more than {self._most:,} bytes come out of it")
        self._last = data[-1:] or self._last
        return data

    def tell(self) -> int:
        """The position."""
        return self._position - self._again

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Go forwards to a position, or back by one byte."""
        if whence != os.SEEK_SET or position < self._position - 1:
            raise RefusedError("it cannot be read from its beginning to its end")
        self._again = position == self._position - 1
        while position > self._position and self.read(min(CHUNK, position - self._position)):
            pass
        return self.tell()

    def seekable(self) -> bool:
        """As far as `seek` goes."""
        return True


class Counted:
    """The archive itself: what is read of it is what the bar shows."""

    def __init__(self, stream: IO[bytes], steps: Steps) -> None:
        self._stream = stream
        self._steps = steps

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._stream.read(size)
        self._steps.advance(len(data))
        return data

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """No."""
        return False
