"""What happens to an image before anything is drawn about it: the same in each epoch, so that it can be kept."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from exporters.images.preprocessing import Geometry, resize_shorter_side
from exporters.images.sizes import resized_shape

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Preparation:
    """How an image is prepared.

    Args:
        kind: centre: what `geometry.apply` gives; resized: the shorter side to `geometry.resize`; whole: as decoded.
        geometry: sizes and interpolation.
    """

    kind: Literal["centre", "resized", "whole"]
    geometry: Geometry

    def apply(self, image: Image.Image) -> Image.Image:
        """An image, mode RGB, prepared.

        Raises:
            UnreadableImageError: so narrow that its resized longer side would not fit into memory.
        """
        if self.kind == "centre":
            return Image.fromarray(self.geometry.apply(image))
        if self.kind == "resized":
            return resize_shorter_side(image, self.geometry.resize, FILTERS[self.geometry.interpolation])
        return image

    def sizes(self, sizes: np.ndarray) -> np.ndarray:
        """Widths and heights int64 `[B, 2]` of images once prepared, from what they are as decoded."""
        if self.kind == "centre":
            return np.full(sizes.shape, self.geometry.size, dtype=np.int64)
        if self.kind == "resized":
            shapes = [resized_shape(width, height, self.geometry.resize) for width, height in sizes.tolist()]
            return np.array(shapes, dtype=np.int64).reshape(-1, 2)
        return sizes.astype(np.int64)
