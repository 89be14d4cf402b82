"""How a training image is varied: a pure function of (seed, pass, index), whoever asks and in whichever order."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from exporters.preprocessing import Preprocessing
from pipeline.randomness import generator

ASPECT = (3 / 4, 4 / 3)
ATTEMPTS = 10
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


class AugmentOptions(Protocol):
    """What an augmentation needs of the recipe's `data.augment` section, which must be hashable."""

    @property
    def crop(self) -> Literal["random", "resized", "shift", "none"]:
        """How the square is cut."""

    @property
    def scale(self) -> tuple[float, float]:
        """`resized`: smallest and largest share of the area."""

    @property
    def padding(self) -> int:
        """`shift`: black pixels on each side."""

    @property
    def flip(self) -> bool:
        """Mirror half of the images."""

    @property
    def jitter(self) -> float:
        """Strength of the change of brightness, contrast and saturation."""


@dataclass(frozen=True)
class Augmentation:
    """Crop, mirror and colour of one training image.

    Crop, mirror and colour have streams of their own, so that a change of one leaves the draws of the others.

    * `resized`: a share of the area within `scale` and an aspect ratio within 3/4 to 4/3 (log-uniform), scaled to the
      square; the whole centre where ten draws do not fit (Szegedy et al. 2015, as the field runs it).
    * `random`: shorter side to `preprocessing.resize`, then a random square.
    * `shift`: the centre at `preprocessing.size`, black pixels around it, then a random square (He et al. 2016, 4.2).
    * `none`: what evaluation sees.

    Args:
        settings: the recipe's `data.augment` section.
        preprocessing: the student's, whose size, resize and interpolation training shares.
        seed: the recipe's seed.
    """

    settings: AugmentOptions
    preprocessing: Preprocessing
    seed: int

    def __call__(self, image: Image.Image, pass_: int, index: int) -> np.ndarray:
        """Vary an image.

        Args:
            image: mode RGB, any size.
            pass_: the pass over the data, from 0.
            index: the sample's index in its split.

        Returns:
            uint8 `[size, size, 3]`.
        """
        image = self._crop(image, pass_, index)
        if self.settings.flip and generator(self.seed, "flip", pass_, index).random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.settings.jitter > 0:
            image = self._jitter(image, pass_, index)
        return np.asarray(image, dtype=np.uint8)

    def _crop(self, image: Image.Image, pass_: int, index: int) -> Image.Image:
        if self.settings.crop == "none":
            return Image.fromarray(self.preprocessing.apply(image))
        random = generator(self.seed, "crop", pass_, index)
        size, resampling = self.preprocessing.size, _FILTERS[self.preprocessing.interpolation]
        if self.settings.crop == "resized":
            box = _resized_box(random, image.width, image.height, self.settings.scale)
            # Cropped first: resizing a box would let pixels outside it bleed in.
            return image.crop(box).resize((size, size), resampling)
        if self.settings.crop == "random":
            image = _shorter_side(image, self.preprocessing.resize, resampling)
        else:
            centre = Preprocessing(
                size, size, self.preprocessing.mean, self.preprocessing.std, self.preprocessing.interpolation
            )
            image = ImageOps.expand(Image.fromarray(centre.apply(image)), self.settings.padding)
        left = int(random.integers(image.width - size + 1))
        top = int(random.integers(image.height - size + 1))
        return image.crop((left, top, left + size, top + size))

    def _jitter(self, image: Image.Image, pass_: int, index: int) -> Image.Image:
        random = generator(self.seed, "jitter", pass_, index)
        factors = random.uniform(1 - self.settings.jitter, 1 + self.settings.jitter, size=3)
        for i in random.permutation(3).tolist():
            image = _ENHANCERS[i](image).enhance(float(factors[i]))
        return image


def _shorter_side(image: Image.Image, resize: int, resampling: Image.Resampling) -> Image.Image:
    if min(image.size) == resize:
        return image
    longer = int(resize * max(image.size) / min(image.size))
    shape = (resize, longer) if image.width <= image.height else (longer, resize)
    return image.resize(shape, resampling)


def _resized_box(
    random: np.random.Generator, width: int, height: int, scale: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the crop. The number of draws is fixed, however many attempts fit."""
    areas = random.uniform(scale[0], scale[1], ATTEMPTS) * width * height
    aspects = np.exp(random.uniform(math.log(ASPECT[0]), math.log(ASPECT[1]), ATTEMPTS))
    across, down = random.random(2)
    widths, heights = np.rint(np.sqrt(areas * aspects)), np.rint(np.sqrt(areas / aspects))
    fits = np.flatnonzero((widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height))
    if len(fits):
        box_width, box_height = int(widths[fits[0]]), int(heights[fits[0]])
        left, top = int(across * (width - box_width + 1)), int(down * (height - box_height + 1))
    else:
        aspect = min(max(width / height, ASPECT[0]), ASPECT[1])
        box_width = min(width, max(1, round(height * aspect)))
        box_height = min(height, max(1, round(width / aspect)))
        left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height
