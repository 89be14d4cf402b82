"""One image, looked at closely: what it is, and what is odd about it."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from exporters.errors import TmkdError
from exporters.files import sha256_file
from exporters.images import open_rgb, read_header
from exporters.preprocessing import Preprocessing
from pipeline.data.checking import NARROW

LARGE = 16_000_000
"""Pixels from which decoding takes longer than anything that is done with the image."""

SUFFIXES = {
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "JPEG2000": (".jp2", ".j2k"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}

WRONG_SUFFIX, ANIMATED, VERY_LARGE, ONE_PIXEL, VERY_NARROW, UNIFORM = ODDITIES = (
    "suffix of another format",
    "animated, the first frame counts",
    f"more than {LARGE:,} pixels",
    "a side of one pixel",
    f"more than {NARROW} times as long as wide",
    "one colour alone",
)


@dataclass(frozen=True)
class Facts:
    """What one image holds.

    Attributes:
        sha256: 32 bytes.
        size: width and height, upright.
        format: as Pillow calls it; None for an image that is no file of its own.
        mode: Pillow's mode before conversion; None likewise.
        oddities: of `ODDITIES`.
        reason: why it cannot be used; None for a good one, and nothing else is known of a bad one.
    """

    sha256: bytes = b""
    size: tuple[int, int] = (0, 0)
    format: str | None = None
    mode: str | None = None
    oddities: tuple[str, ...] = ()
    reason: str | None = None


def examine(root: Path, path: str, preprocessing: Preprocessing) -> Facts:
    """Look at one image; one that cannot be used is no error here.

    Args:
        root: the data set's folder.
        path: of the image, below `root`.
        preprocessing: asked about very narrow images, which it may refuse.
    """
    file = root / path
    try:
        image = open_rgb(file)
        if max(image.size) > NARROW * min(image.size):
            preprocessing.apply(image)
        header = read_header(file)
        digest = bytes.fromhex(sha256_file(file))
    except TmkdError as error:
        return Facts(reason=error.message.removeprefix(f"{file}: "))
    except OSError as error:
        return Facts(reason=f"cannot be read: {error.strerror or error}")
    odd = list(_odd_pixels(image))
    if header.animated and header.format != "MPO":  # a photo with a preview
        odd.insert(0, ANIMATED)
    if file.suffix.lower() not in SUFFIXES[header.format]:
        odd.insert(0, WRONG_SUFFIX)
    return Facts(digest, image.size, header.format, header.mode, tuple(odd))


def _odd_pixels(image: Image.Image) -> tuple[str, ...]:
    width, height = image.size
    found = {
        VERY_LARGE: width * height > LARGE,
        ONE_PIXEL: min(width, height) == 1,
        VERY_NARROW: max(width, height) > NARROW * min(width, height),
        UNIFORM: all(low == high for low, high in image.getextrema()),  # type: ignore[misc]
    }
    return tuple(name for name, holds in found.items() if holds)
