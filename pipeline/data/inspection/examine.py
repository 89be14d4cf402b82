"""One image, looked at closely: what it is, and what is odd about it."""

from dataclasses import dataclass

from PIL import Image

from exporters.core.errors import TmkdError
from exporters.images.decoding import read_header
from exporters.images.preprocessing import Preprocessing
from exporters.images.suffixes import SUFFIXES
from pipeline.data.checking import NARROW
from pipeline.data.inspection.looks import FLAT, Look, look_of
from pipeline.data.stores.base import Store

LARGE = 16_000_000
"""Pixels from which decoding takes longer than anything that is done with the image."""

LONG = 3
"""So many times as long as wide, a square cut from the middle loses two thirds."""

COLOURLESS = 2
"""Difference of 255 between red, green and blue up to which a pixel counts as grey."""

WRONG_SUFFIX, ANIMATED, VERY_LARGE, ONE_PIXEL, VERY_NARROW, ELONGATED, UNIFORM, PALE, GREY, CMYK, PALETTE, TURNED = (
    KINDS
) = (
    "suffix of another format",
    "animated, the first frame counts",
    f"more than {LARGE:,} pixels",
    "a side of one pixel",
    f"more than {NARROW} times as long as wide",
    f"more than {LONG} times as long as wide",
    "one colour alone",
    "nearly one colour",
    "grey among images in colour",
    "CMYK colours",
    "palette colours",
    "turned by its EXIF orientation",
)
"""What can be odd about an image by itself."""

UNCOMMON = (GREY, CMYK, PALETTE, TURNED)
"""Those that are only odd where most images are otherwise."""


@dataclass(frozen=True)
class Facts:
    """What one image holds.

    Attributes:
        sha256: 32 bytes.
        size: width and height, upright.
        format: as Pillow calls it; None for an image that is no file of its own.
        mode: Pillow's mode before conversion; None likewise.
        oddities: of `KINDS`.
        look: what it looks like; None for a bad one.
        reason: why it cannot be used; None for a good one, and nothing else is known of a bad one.
    """

    sha256: bytes = b""
    size: tuple[int, int] = (0, 0)
    format: str | None = None
    mode: str | None = None
    oddities: tuple[str, ...] = ()
    reason: str | None = None
    look: Look | None = None


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
    look = look_of(image)
    odd = _odd_pixels(image, look)
    if file is None or header is None:
        return Facts(digest, image.size, oddities=odd, look=look)
    if header.animated and header.format != "MPO":  # a photo with a preview
        odd = (ANIMATED, *odd)
    if file.suffix.lower() not in SUFFIXES[header.format]:
        odd = (WRONG_SUFFIX, *odd)
    found = {CMYK: header.mode == "CMYK", PALETTE: header.mode in ("P", "PA"), TURNED: header.turned}
    odd = (*odd, *(name for name, holds in found.items() if holds))
    return Facts(digest, image.size, header.format, header.mode, odd, look=look)


def _odd_pixels(image: Image.Image, look: Look) -> tuple[str, ...]:
    width, height = image.size
    longer, shorter = max(width, height), min(width, height)
    uniform = all(low == high for low, high in image.getextrema())  # type: ignore[misc]
    pale = look.spread < FLAT
    found = {
        VERY_LARGE: width * height > LARGE,
        ONE_PIXEL: shorter == 1,
        VERY_NARROW: longer > NARROW * shorter,
        ELONGATED: LONG * shorter < longer <= NARROW * shorter,
        UNIFORM: uniform,
        PALE: pale and not uniform,
        GREY: look.colour <= COLOURLESS and not pale,
    }
    return tuple(name for name, holds in found.items() if holds)
