"""Images in files of their own: a key is a path below the root."""

from pathlib import Path

from PIL import Image

from exporters.core.files import open_regular, sha256_file
from exporters.images.decoding import open_rgb
from pipeline.data.stores.base import Store


class FileStore(Store):
    """Image files of any kind that is decoded; what is hashed is the whole file."""

    def read(self, key: str) -> bytes:
        """The file's bytes."""
        with open_regular(self.root / key) as stream:
            return stream.read()

    def mark(self, key: str) -> str:
        """The file's size and modification time."""
        status = (self.root / key).stat()
        return f"{status.st_size} {status.st_mtime_ns}"

    def image(self, key: str) -> Image.Image:
        """The decoded file, which Pillow reads as far as it needs to."""
        return open_rgb(self.root / key)

    def examine(self, key: str) -> tuple[bytes, Image.Image]:
        """Hash in chunks, then decode: a file that is no image at all may be of any size."""
        path = self.root / key
        return bytes.fromhex(sha256_file(path)), open_rgb(path)

    def describe(self, key: str) -> str:
        """Its path."""
        return str(self.root / key)

    def file(self, key: str) -> Path:
        """Its path."""
        return self.root / key
