"""Images as records of equal length in binary files: red, green and blue planes, perhaps with labels before them."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from exporters.core.errors import UnavailableError
from pipeline.data.stores.base import FileMarks, OpenFiles, Store, image_of_planes


@dataclass(frozen=True)
class RecordLayout:
    """How the records of a data set lie.

    Attributes:
        suffix: what follows the first part of a key in the file's name.
        label_bytes: bytes before the pixels.
        side: of the square image.
        column_major: whether each plane is stored column by column.
    """

    suffix: str
    label_bytes: int
    side: int
    column_major: bool = False

    @property
    def pixel_bytes(self) -> int:
        """Bytes of an image."""
        return 3 * self.side * self.side

    @property
    def record_bytes(self) -> int:
        """Bytes of a record."""
        return self.label_bytes + self.pixel_bytes


LAYOUTS = {
    "cifar10": RecordLayout(".bin", 1, 32),
    "cifar100": RecordLayout(".bin", 2, 32),
    "stl10": RecordLayout("_X.bin", 0, 96, column_major=True),
}


class RecordStore(Store):
    """Images by record number: key `data_batch_1/17` is record 17 of `data_batch_1.bin`. The pixels are hashed.

    The argument is a name of `LAYOUTS`.
    """

    def __init__(self, root: Path, argument: str) -> None:
        super().__init__(root, argument)
        self.layout = LAYOUTS[argument]
        self._files = OpenFiles()
        self._marks = FileMarks()

    def read(self, key: str) -> bytes:
        """The planes of the image, `[3, side, side]` bytes."""
        path, number = self._place(key)
        layout = self.layout
        data = self._files.read(path, number * layout.record_bytes + layout.label_bytes, layout.pixel_bytes)
        if len(data) != layout.pixel_bytes:
            raise UnavailableError(f"{self.describe(key)}: the file ends before it")
        return data

    def mark(self, key: str) -> str:
        """The mark of the file that holds the record."""
        return self._marks.of(self._place(key)[0])

    def decode(self, key: str, data: bytes) -> Image.Image:
        """The image of the planes."""
        return image_of_planes(data, self.layout.side, column_major=self.layout.column_major)

    def describe(self, key: str) -> str:
        """The file and the record's number."""
        path, number = self._place(key)
        return f"{path}, image {number}"

    def _place(self, key: str) -> tuple[Path, int]:
        stem, _, number = key.rpartition("/")
        return self.root / f"{stem}{self.layout.suffix}", int(number)
