"""How an image becomes the student's input, in one place and in one JSON that others can follow."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from exporters.core.errors import UsageError
from exporters.core.limits import MAX_PIXELS
from exporters.images.decoding import UnreadableImageError
from exporters.images.normalisation import check_normalisation
from exporters.images.sizes import resized_shape

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

# What every bundle does in the same way; written down for readers in other languages, and checked when read back.
_FIXED = {
    "resize_mode": "shorter_side",
    "resize_rounding": "floor of the longer side",
    "antialias": True,
    "resize_order": "width, then height; rounded to 8 bits after each",
    "crop": "centre",
    "crop_rounding": "half to even of the margin / 2",
    "colour_order": "RGB",
    "transparency": "over white",
    "orientation": "EXIF applied",
    "layout": "NHWC",
    "dtype": "uint8",
    "range": [0, 255],
}
_NORMALISATION_PLACE = "inside the graph: (image / 255 - mean) / std"


@dataclass(frozen=True)
class Geometry:
    """Shorter side to `resize` with Pillow's antialiasing filter, then the centre `size` x `size`.

    Args:
        size: height and width of the result.
        resize: the shorter side before the crop, at least `size`.
        interpolation: Pillow's filter.

    Raises:
        UsageError: a size below 1, `resize` below `size`, an unknown interpolation.
    """

    size: int
    resize: int
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.resize <= 8192:
            raise UsageError(f"preprocessing: need 1 <= size <= resize <= 8192, not {self.size} and {self.resize}")
        if self.interpolation not in _FILTERS:
            raise UsageError(f"preprocessing: interpolation is one of {sorted(_FILTERS)}, not {self.interpolation!r}")

    def apply(self, image: Image.Image) -> np.ndarray:
        """Resize and crop an RGB image.

        Args:
            image: mode RGB, any size.

        Returns:
            uint8 `[size, size, 3]`.

        Raises:
            UnreadableImageError: so narrow that its resized longer side would not fit into memory.
        """
        image = resize_shorter_side(image, self.resize, _FILTERS[self.interpolation])
        left, top = (round((side - self.size) / 2) for side in image.size)
        return np.asarray(image.crop((left, top, left + self.size, top + self.size)), dtype=np.uint8)


@dataclass(frozen=True)
class Preprocessing:
    """Everything between an RGB image and the student: its geometry, then its normalization.

    Args:
        size, resize, interpolation: as in `Geometry`.
        mean, std: per RGB channel, for images in [0, 1], as `check_normalisation` bounds them; applied inside the
            exported graph.

    Raises:
        UsageError: as `Geometry`, or a mean or std out of bounds.
    """

    size: int
    resize: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        _ = self.geometry  # checks its sizes
        check_normalisation(self.mean, self.std)

    @property
    def geometry(self) -> Geometry:
        """Resize and crop, without the normalization."""
        return Geometry(self.size, self.resize, self.interpolation)

    def to_json(self) -> dict[str, Any]:
        """The whole description, as `preprocess.json` of a bundle holds it."""
        return {
            **_FIXED,
            "size": self.size,
            "resize": self.resize,
            "interpolation": self.interpolation,
            "normalisation": {"where": _NORMALISATION_PLACE, "mean": list(self.mean), "std": list(self.std)},
        }

    @classmethod
    def from_json(cls, value: Any) -> "Preprocessing":
        """Read what `to_json` wrote.

        Raises:
            UsageError: a key is missing or unknown, or says something that this version does not do.
        """
        try:
            rest = dict(value)
            normalisation = dict(rest.pop("normalisation"))
            size, resize, interpolation = rest.pop("size"), rest.pop("resize"), rest.pop("interpolation")
            mean, std = (tuple(float(number) for number in normalisation.pop(key)) for key in ("mean", "std"))
            where = normalisation.pop("where")
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise UsageError(f"preprocessing: malformed description ({type(error).__name__}: {error})") from error
        different = sorted(key for key in {*rest, *_FIXED} if rest.get(key) != _FIXED.get(key))
        if different or normalisation or where != _NORMALISATION_PLACE:
            raise UsageError(f"preprocessing: this version cannot follow {different or 'the normalisation'}")
        if not (isinstance(size, int) and isinstance(resize, int) and isinstance(interpolation, str)):
            raise UsageError("preprocessing: size and resize are whole numbers, interpolation is a text")
        return cls(size=size, resize=resize, mean=mean, std=std, interpolation=interpolation)  # type: ignore[arg-type]

    def apply(self, image: Image.Image) -> np.ndarray:
        """Resize and crop an RGB image, as `Geometry.apply`."""
        return self.geometry.apply(image)


def resize_shorter_side(image: Image.Image, side: int, resampling: Image.Resampling) -> Image.Image:
    """Resize an image of any mode so that its shorter side is `side`, the longer one by the same factor, rounded down.

    Width first, then height: which pass comes first moves pixels by a rounding, and Pillow's choice depends on its
    version (13 takes tall images the other way round).

    Raises:
        UnreadableImageError: so narrow that its longer side would not fit into memory.
    """
    width, height = image.size
    shape = resized_shape(width, height, side)
    if shape[0] * shape[1] > MAX_PIXELS:
        raise UnreadableImageError(f"an image of {width}x{height} is too narrow to be resized to {side}")
    for step in ((shape[0], height), shape):
        if step != image.size:
            image = image.resize(step, resampling)
    return image
