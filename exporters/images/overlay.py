"""Class activation maps laid over the image that they belong to."""

import math

import numpy as np
from PIL import Image

from exporters.images.preprocessing import Geometry
from exporters.images.sizes import resized_shape

_OPACITY = 0.55  # of the colours over the image
_LONGEST, _SHORTEST = 1024, 256  # longer side of a picture, in pixels
_ANCHORS = np.frombuffer(
    bytes.fromhex(
        "0000040403120b0724150b37210c4a2f0a5b3d09654a0c6b57106e64156e71196e7d1e6d8a226a972766a32c61b0315bbc3754c63d4d"
        "d04545da4e3ce35933eb6429f1711ff67e14f98c0afb9b06fcaa0ffbba1ff9c932f5d949f2e865f3f586fcffa4"
    ),
    np.uint8,
).reshape(-1, 3)
"""33 colours of the colour map inferno (Smith and van der Walt, CC0), evenly spread from dark to light."""


def scaled(maps: np.ndarray) -> np.ndarray:
    """Maps `[S, h, w]`, each less its least value and over its largest: float `[S, h, w]` in [0, 1]."""
    own = maps - maps.min(axis=(1, 2), keepdims=True)
    highest = own.max(axis=(1, 2), keepdims=True)
    within: np.ndarray = own / np.where(highest > 0, highest, 1)
    return within


def enlarged(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A map `[h, w]` in [0, 1] at the size `[H, W]` of the image, by Pillow's bicubic filter, clipped."""
    small = Image.fromarray(values.astype(np.float32))
    large = np.asarray(small.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
    clipped: np.ndarray = large.clip(0, 1)
    return clipped


def overlay(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A picture under the colours of a map, from dark for 0 to light yellow for 1.

    Args:
        picture: uint8 `[H, W, 3]`.
        values: `[h, w]` in [0, 1], enlarged to the picture.

    Returns:
        uint8 `[H, W, 3]`.
    """
    place = enlarged(values, (picture.shape[0], picture.shape[1])) * (len(_ANCHORS) - 1)
    ends = np.arange(len(_ANCHORS))
    colours = np.stack([np.interp(place, ends, _ANCHORS[:, channel]) for channel in range(3)], axis=-1)
    mixed = (1 - _OPACITY) * picture + _OPACITY * colours
    rounded: np.ndarray = mixed.round().astype(np.uint8)
    return rounded


def overlay_on_photo(photo: Image.Image, geometry: Geometry, cam: np.ndarray) -> Image.Image:
    """A photograph with the class activation map over the part that the network saw, and its margins as they are.

    Args:
        photo: mode RGB, any size; a picture of 256 to 1,024 pixels on the longer side is made of it.
        geometry: how the network's image was cut out of it.
        cam: `[h, w]`, of any scale.
    """
    longest = max(photo.size)
    factor = min(1.0, _LONGEST / longest) if longest >= _SHORTEST else float(math.ceil(_SHORTEST / longest))
    width, height = (max(1, round(factor * side)) for side in photo.size)
    resampling = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BICUBIC
    picture = np.array(photo.resize((width, height), resampling))
    boxes = []
    for side, whole in zip((width, height), resized_shape(*photo.size, geometry.resize), strict=True):
        start = round((whole - geometry.size) / 2)
        first, end = (round(place * side / whole) for place in (start, start + geometry.size))
        first = min(first, side - 1)
        boxes.append(slice(first, max(first + 1, end)))  # of a very narrow photograph, one pixel
    seen = boxes[1], boxes[0]
    picture[seen] = overlay(picture[seen], scaled(cam[None])[0])
    return Image.fromarray(picture)
