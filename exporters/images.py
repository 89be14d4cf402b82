"""Any image file as Pillow RGB, one way for training data, parity and the client."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from exporters.errors import TmkdError

MAX_PIXELS = 64_000_000
"""More than any camera of the field gives, and few enough (192 MB) that a small server survives it."""

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


def open_rgb(source: Path | bytes | Image.Image, name: str | None = None) -> Image.Image:
    """Decode an image to mode RGB, upright.

    The EXIF orientation is applied; grey, palette, CMYK and 16-bit images are converted (16 bit by value / 257);
    transparent pixels are put over white, since what is invisible has no colour; an animation gives its first frame.

    Args:
        source: a path, the bytes of an image file, or an image that is already open.
        name: what messages call the image; None for its path, or its length in bytes.

    Raises:
        UnreadableImageError: no such file, not an image, truncated, no defined range of values, or more than
            `MAX_PIXELS` pixels; the message names the file and why.
    """
    name = _name(source) if name is None else name
    try:
        if isinstance(source, Image.Image):
            return _to_rgb(source)
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return _to_rgb(image)
    except FileNotFoundError:
        reason = "no such file"
    except _RefusedError as error:
        reason = str(error)
    except Exception as error:  # decoders raise whatever their parsers meet: SyntaxError, struct.error, IndexError, …
        reason = str(error).split("\n")[0][:200] or type(error).__name__
        if "cannot identify image" in reason:
            reason = "not an image, or of a kind that Pillow does not know"
    raise UnreadableImageError(f"{name}: the image cannot be read: {reason}")


class _RefusedError(Exception):
    pass


def _name(source: Path | bytes | Image.Image) -> str:
    if isinstance(source, bytes):
        return f"<{len(source)} bytes>"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "<image>")
    return str(source)


def _to_rgb(image: Image.Image) -> Image.Image:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _RefusedError(f"{width}x{height} is more than {MAX_PIXELS:,} pixels")
    if width * height == 0:
        raise _RefusedError("it has no pixels")
    image.load()
    orientation = _orientation(image)
    if image.mode.startswith("I"):
        image = _eight_bit(image)
    elif image.mode == "F":
        raise _RefusedError("floating-point pixels have no defined range")
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
    values = np.asarray(image)
    if int(values.min()) < 0 or int(values.max()) > 65535:
        raise _RefusedError("32-bit pixels have no defined range")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
