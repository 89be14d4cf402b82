"""Augmentation of a training image: a pure function of (seed, epoch, index), in whichever process and order."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image, ImageEnhance

from exporters.images.preprocessing import Geometry, resize_shorter_side
from pipeline.data.mixing import Mix, draw_mix, mixes
from pipeline.data.randaugment import rand_augment
from pipeline.data.settings import AugmentSettings
from pipeline.randomness import generator

ASPECT = (3 / 4, 4 / 3)
ERASED = (0.02, 0.33)
ERASED_ASPECT = (0.3, 3.3)
ATTEMPTS = 10
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


@dataclass(frozen=True)
class Augmentation:
    """Crop, mirror, RandAugment, colour and erasing of one training image, in this order.

    Each has its own random stream, so that changing one leaves the draws of the others as they were.

    * `resized`: a share of the area within `scale` and an aspect ratio within 3/4 to 4/3 (log-uniform), scaled to the
      square; the whole centre where ten draws do not fit (Szegedy et al. 2015, as the field runs it).
    * `random`: shorter side to `geometry.resize`, then a random square.
    * `shift`: the centre at `geometry.size`, black pixels around it, then a random square (He et al. 2016, 4.2).
    * `none`: what evaluation sees.
    * RandAugment: `pipeline.data.randaugment`.
    * Erasing: a rectangle of 2 to 33 % of the area with an aspect ratio within 0.3 to 3.3 (Zhong et al. 2020, algorithm
      1), filled with the image's own mean colour rather than with noise, because noise would outweigh every edge and
      all fine texture of the image in the teacher's views.

    Args:
        settings: the recipe's `data.augment` section.
        geometry: the student's; training shares its size, resize and interpolation.
        seed: the recipe's seed.
        cycle: epochs after which the draws repeat; 0: never.
    """

    settings: AugmentSettings
    geometry: Geometry
    seed: int
    cycle: int = 0

    def __call__(self, image: Image.Image, epoch: int, index: int) -> np.ndarray:
        """Augment an image.

        Args:
            image: mode RGB, any size.
            epoch: number of the epoch, from 0.
            index: the sample's index in its split.

        Returns:
            uint8 `[size, size, 3]`.
        """
        if self.cycle:
            epoch %= self.cycle
        image = self._crop(image, epoch, index)
        if self.settings.flip and generator(self.seed, "flip", epoch, index).random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.settings.randaugment is not None:
            random = generator(self.seed, "randaugment", epoch, index)
            operations, magnitude = self.settings.randaugment.operations, self.settings.randaugment.magnitude
            image = rand_augment(image, random, operations, magnitude)
        if self.settings.jitter > 0:
            image = self._jitter(image, epoch, index)
        pixels = np.asarray(image, dtype=np.uint8)
        return self._erase(pixels, epoch, index) if self.settings.erasing > 0 else pixels

    def mix(self, epoch: int, index: int, images: int) -> Mix | None:
        """How an augmented image is mixed with another of so many training images; None where it is not.

        The partner is augmented as it is at its own place in this epoch.
        """
        if not mixes(self.settings):
            return None
        if self.cycle:
            epoch %= self.cycle
        return draw_mix(self.settings, self.seed, epoch, index, images, self.geometry.size)

    def without_mixing(self) -> "Augmentation":
        """The same of each image by itself, for a training whose labels cannot be mixed."""
        return replace(self, settings=self.settings.model_copy(update={"mixup": 0.0, "cutmix": 0.0}))

    def _crop(self, image: Image.Image, epoch: int, index: int) -> Image.Image:
        if self.settings.crop == "none":
            return Image.fromarray(self.geometry.apply(image))
        random = generator(self.seed, "crop", epoch, index)
        size, resampling = self.geometry.size, _FILTERS[self.geometry.interpolation]
        if self.settings.crop == "resized":
            box = _resized_box(random, image.width, image.height, self.settings.scale)
            # Cropped first: resizing a box would let pixels outside it bleed in.
            return image.crop(box).resize((size, size), resampling)
        if self.settings.crop == "random":
            image = resize_shorter_side(image, self.geometry.resize, resampling)
            padding = 0
        else:
            image = Image.fromarray(self._centre.apply(image))
            padding = self.settings.padding
        left, top = (int(random.integers(-padding, side + padding - size + 1)) for side in image.size)
        return image.crop((left, top, left + size, top + size))  # black where it reaches outside

    @cached_property
    def _centre(self) -> Geometry:
        return replace(self.geometry, resize=self.geometry.size)

    def _jitter(self, image: Image.Image, epoch: int, index: int) -> Image.Image:
        random = generator(self.seed, "jitter", epoch, index)
        factors = random.uniform(1 - self.settings.jitter, 1 + self.settings.jitter, size=3)
        for i in random.permutation(3).tolist():
            image = _ENHANCERS[i](image).enhance(float(factors[i]))
        return image

    def _erase(self, pixels: np.ndarray, epoch: int, index: int) -> np.ndarray:
        random = generator(self.seed, "erasing", epoch, index)
        if random.random() >= self.settings.erasing:
            return pixels
        height, width = pixels.shape[:2]
        box = _random_box(random, width, height, ERASED, ERASED_ASPECT)
        if box is None:
            return pixels
        left, top, right, bottom = box
        erased = pixels.copy()
        erased[top:bottom, left:right] = np.rint(pixels.mean(axis=(0, 1), dtype=np.float64)).astype(np.uint8)
        return erased


def _resized_box(
    random: np.random.Generator, width: int, height: int, scale: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the crop: the whole centre where no attempt fits."""
    box = _random_box(random, width, height, scale, ASPECT)
    if box is not None:
        return box
    aspect = min(max(width / height, ASPECT[0]), ASPECT[1])
    box_width = min(width, max(1, round(height * aspect)))
    box_height = min(height, max(1, round(width / aspect)))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def _random_box(
    random: np.random.Generator, width: int, height: int, scale: tuple[float, float], aspects: tuple[float, float]
) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of a rectangle with a share of the area in `scale` and an aspect ratio in `aspects`.

    None where no attempt fits. The number of draws is fixed, however many attempts fit.
    """
    draws = random.random(2 * ATTEMPTS + 2).tolist()
    across, down = draws[:2]
    lowest, highest = math.log(aspects[0]), math.log(aspects[1])
    for attempt in range(ATTEMPTS):
        share, position = draws[2 + 2 * attempt : 4 + 2 * attempt]
        area = (scale[0] + share * (scale[1] - scale[0])) * width * height
        aspect = math.exp(lowest + position * (highest - lowest))
        box_width, box_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 1 <= box_width <= width and 1 <= box_height <= height:
            left, top = int(across * (width - box_width + 1)), int(down * (height - box_height + 1))
            return left, top, left + box_width, top + box_height
    return None
