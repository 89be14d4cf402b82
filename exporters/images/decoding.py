"""Any image file as Pillow RGB, one way for training data, parity and the client."""

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from exporters.core.errors import TmkdError
from exporters.core.files import open_regular
from exporters.core.limits import MAX_PIXELS
from exporters.images.bounds.check import check_bounds
from exporters.images.bounds.refused import RefusedError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""What is decoded. Pillow knows more kinds: some by a few bytes only, one by starting Ghostscript, and one (JPEG 2000)
of which a hundred bytes can take 14 GB."""

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImageError(TmkdError):
    """An image that cannot be decoded, or must not be (exit 4)."""

    exit_code = 4


def open_rgb(source: Path | bytes | Image.Image, name: str | None = None, max_pixels: int | None = None) -> Image.Image:
    """Decode an image to mode RGB, upright.

    The EXIF orientation is applied; grey, palette, CMYK and 16-bit images are converted (16 bit by value / 257);
    transparent pixels are put over white, since what is invisible has no colour; an animation gives its first frame, a
    file of several pages its first. What a file is follows from its content, not its name, and is one of `FORMATS`.

    Args:
        source: a path, the bytes of an image file, or an image that is already open.
        name: what messages call the image; None for its path, or its length in bytes.
        max_pixels: more are refused before any is decoded; None for `MAX_PIXELS`.

    Raises:
        UnreadableImageError: no such file, no ordinary one (a pipe, a device), empty, not an image, truncated, no
            defined range of values, more than `max_pixels` pixels, or work out of proportion to its pixels
            (`exporters.images.bounds`); the message names the file and why.
    """
    name = _name(source) if name is None else name
    max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
    try:
        if isinstance(source, Image.Image):
            return _to_rgb(source, max_pixels)
        with io.BytesIO(source) if isinstance(source, bytes) else open_regular(source) as stream:
            if not stream.read(1):
                raise RefusedError("the file is empty")
            check_bounds(stream, max_pixels)
            with Image.open(stream, formats=_formats()) as image:
                return _to_rgb(image, max_pixels)
    except FileNotFoundError:
        reason = "no such file"
    except RefusedError as error:
        reason = str(error)
    except Exception as error:  # decoders raise whatever their parsers meet: SyntaxError, struct.error, IndexError, …
        reason = str(error).split("\n")[0][:200] or type(error).__name__
        if "cannot identify image" in reason:
            reason = f"not an image of a known kind ({', '.join(_formats())})"
        elif isinstance(error, MemoryError):
            reason = "there is not enough memory to decode it"
        elif isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        reason = "".join(letter if letter.isprintable() else "?" for letter in reason)  # decoders quote the file
    raise UnreadableImageError(f"{name}: the image cannot be read: {reason}")


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of itself: its format, such as JPEG; Pillow's mode, such as L; whether it has further frames;
    whether its EXIF orientation turns or mirrors it."""

    format: str
    mode: str
    animated: bool
    turned: bool


def read_header(path: Path) -> ImageHeader:
    """Read what a file says of itself, without decoding it; right for a file that `open_rgb` opens.

    Raises:
        OSError: it cannot be read, or is no image.
    """
    with open_regular(path) as stream, Image.open(stream, formats=_formats()) as image:
        # Pillow would decode a PNG file to look for EXIF behind its pixels.
        turned = (image.format != "PNG" or "exif" in image.info) and _orientation(image) in _UPRIGHT
        return ImageHeader(image.format or "", image.mode, bool(getattr(image, "is_animated", False)), turned)


@cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _name(source: Path | bytes | Image.Image) -> str:
    if isinstance(source, bytes):
        return f"<{len(source)} bytes>"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "<image>")
    return str(source)


def _to_rgb(image: Image.Image, max_pixels: int) -> Image.Image:
    width, height = image.size
    if width * height > max_pixels:
        raise RefusedError(f"{width}x{height} is more than {max_pixels:,} pixels")
    if width * height == 0:
        raise RefusedError("it has no pixels")
    image.load()
    orientation = _orientation(image)
    if image.mode.startswith("I"):
        image = _eight_bit(image)
    elif image.mode == "F":
        raise RefusedError("floating-point pixels have no defined range")
    if image.mode == "La":
        image = image.convert("LA")  # the only mode that Pillow converts it to
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, (255, 255, 255))
        image.paste(rgba, mask=rgba.getchannel("A"))
    elif image.mode != "RGB":
        image = image.convert("RGB")
    else:
        image = image.copy()
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block tells no orientation, and the pixels are still good
        return 1


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey images of 16 bits, which Pillow would clip at 255 rather than scale."""
    values = np.asarray(image).astype(np.int64)
    if int(values.min()) < 0 or int(values.max()) > 65535:
        raise RefusedError("32-bit pixels have no defined range")
    scaled = ((values + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):  # one value of 16 bits that stands for nothing
        scaled[values == transparent] = 255
    return Image.fromarray(scaled)
