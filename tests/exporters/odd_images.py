"""Image files of odd shapes and modes, on which every printed snippet must give the client's pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def _pixels(width: int, height: int, channels: int) -> np.ndarray:
    """Coarse patches under noise: what a resize in another order rounds otherwise."""
    random = np.random.default_rng(width * 1000 + height)
    shape = (height, width, channels)
    return random.integers(0, 256, shape, np.uint8)


def _rgb(width: int, height: int) -> Image.Image:
    return Image.fromarray(_pixels(width, height, 3))


def _rotated(orientation: int) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        _rgb(131, 90).save(path, "JPEG", exif=exif)

    return save


def _saved(image: Image.Image, kind: str = "PNG", **options: object) -> Callable[[Path], None]:
    return lambda path: image.save(path, kind, **options)


def _palette() -> Image.Image:
    image = _rgb(60, 47).quantize(16)
    image.info["transparency"] = 3
    return image


ODD: dict[str, Callable[[Path], None]] = {
    "tall": _saved(_rgb(53, 331)),
    "very tall": _saved(_rgb(7, 900)),
    "wide": _saved(_rgb(331, 53)),
    "square": _saved(_rgb(70, 70)),
    "as large as the resize": _saved(_rgb(36, 36)),
    "one pixel": _saved(_rgb(1, 1)),
    "tiny": _saved(_rgb(3, 2)),
    "jpeg": _saved(_rgb(70, 53), "JPEG"),
    "cmyk": _saved(_rgb(70, 53).convert("CMYK"), "JPEG"),
    **{f"exif {orientation}": _rotated(orientation) for orientation in range(1, 9)},
    "alpha": _saved(Image.fromarray(_pixels(90, 131, 4))),
    "grey with alpha": _saved(Image.fromarray(_pixels(90, 131, 2))),
    "palette with a transparent colour": _saved(_palette(), transparency=3),
    "rgb with a transparent colour": _saved(Image.new("RGB", (60, 47), (9, 9, 9)), transparency=(9, 9, 9)),
    "palette": _saved(_rgb(60, 47).quantize(16)),
    "grey": _saved(Image.fromarray(_pixels(90, 131, 1)[..., 0])),
    "black and white": _saved(Image.fromarray(_pixels(90, 131, 1)[..., 0]).convert("1")),
}
"""By name, what writes the file; whatever the file's suffix, its content decides."""
