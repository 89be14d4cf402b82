"""One image, looked at closely: what it is, and what is odd about it."""

from dataclasses import dataclass

from PIL import Image

from exporters.core.errors import TmkdError
from exporters.images.decoding import read_header
from exporters.images.preprocessing import Preprocessing
from exporters.images.suffixes import SUFFIXES
from pipeline.data.checking import NARROW
from pipeline.data.stores.base import Store

LARGE = 16_000_000
"""Pixels from which decoding takes longer than anything that is done with the image."""

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


def examine(store: Store, key: str, preprocessing: Preprocessing) -> Facts:
    """Look at one image; one that cannot be used is no error here.

    Args:
        store: where the images lie.
        key: of the image.
        preprocessing: asked about very narrow images, which it may refuse.
    """
    name, file = store.describe(key), store.file(key)
    try:
        digest, image = store.examine(key)
        if max(image.size) > NARROW * min(image.size):
            preprocessing.apply(image)
        header = None if file is None else read_header(file)
    except TmkdError as error:
        return Facts(reason=error.message.removeprefix(f"{name}: "))
    except OSError as error:
        return Facts(reason=f"cannot be read: {error.strerror or error}")
    odd = _odd_pixels(image)
    if file is None or header is None:
        return Facts(digest, image.size, oddities=odd)
    if header.animated and header.format != "MPO":  # a photo with a preview
        odd = (ANIMATED, *odd)
    if file.suffix.lower() not in SUFFIXES[header.format]:
        odd = (WRONG_SUFFIX, *odd)
    return Facts(digest, image.size, header.format, header.mode, odd)


def _odd_pixels(image: Image.Image) -> tuple[str, ...]:
    width, height = image.size
    found = {
        VERY_LARGE: width * height > LARGE,
        ONE_PIXEL: min(width, height) == 1,
        VERY_NARROW: max(width, height) > NARROW * min(width, height),
        UNIFORM: all(low == high for low, high in image.getextrema()),  # type: ignore[misc]
    }
    return tuple(name for name, holds in found.items() if holds)
