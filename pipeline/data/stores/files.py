"""Images in files of their own: a key is a path below the root."""

import hashlib
import os
from pathlib import Path

from PIL import Image

from exporters.core.files import open_regular
from exporters.images.decoding import open_rgb
from pipeline.data.stores.base import Store, file_mark

READ_AT_ONCE = 32 * 2**20
"""Bytes of a file up to which it is hashed and decoded in one piece."""


class FileStore(Store):
    """Image files of any kind that is decoded; what is hashed is the whole file."""

    def read(self, key: str) -> bytes:
        """The file's bytes."""
        with open_regular(self.root / key) as stream:
            return stream.read()

    def mark(self, key: str) -> str:
        """The file's own mark."""
        return file_mark(self.root / key)

    def image(self, key: str) -> Image.Image:
        """The decoded file, which Pillow reads as far as it needs to."""
        return open_rgb(self.root / key)

    def examine(self, key: str) -> tuple[bytes, Image.Image]:
        """Hash and decode the same bytes, unless the file is too large for that and perhaps no image at all."""
        path = self.root / key
        with open_regular(path) as stream:
            if os.fstat(stream.fileno()).st_size <= READ_AT_ONCE:
                data = stream.read()
                return hashlib.sha256(data).digest(), self.decode(key, data)
            return hashlib.file_digest(stream, "sha256").digest(), open_rgb(path)

    def describe(self, key: str) -> str:
        """Its path."""
        return str(self.root / key)

    def file(self, key: str) -> Path:
        """Its path."""
        return self.root / key
