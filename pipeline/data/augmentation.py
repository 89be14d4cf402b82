"""Augmentation of training images: a pure function of (seed, epoch, index), in whichever process, batch and order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from exporters.images.preprocessing import Geometry
from pipeline.data.colour import jitter
from pipeline.data.draws import ERASED, ERASED_ASPECT, Draws, area_boxes, rectangles, window_boxes
from pipeline.data.mixing import Mixes, draw_mixes, mixes
from pipeline.data.pixels import erase
from pipeline.data.preparation import FILTERS, Preparation
from pipeline.data.randaugment import rand_augment
from pipeline.data.settings import AugmentSettings
from pipeline.randomness import batch_generator, generator


@dataclass(frozen=True)
class Augmentation:
    """Crop, mirror, RandAugment, colour and erasing of training images, in this order.

    Each has its own random stream, so that changing one leaves the draws of the others as they were. All of a batch is
    drawn at once (`draw`); then a square is cut out of each prepared image (`preparation`, `cut`) and the squares are
    varied together, on any device (`vary`).

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
        """Augment an image by itself.

        Args:
            image: mode RGB, any size.
            epoch: number of the epoch, from 0.
            index: the sample's index in its split.

        Returns:
            uint8 `[size, size, 3]`.
        """
        draws = self.draw(epoch, np.array([index]), np.array([image.size]))
        crops = self.cut([self.preparation.apply(image)], draws)
        return self.vary(crops, draws)[0].numpy()

    def draw(self, epoch: int, indices: np.ndarray, sizes: np.ndarray) -> Draws:
        """How images are varied in an epoch.

        Args:
            epoch: number of the epoch, from 0.
            indices: int64 `[B]`, positions in the training split.
            sizes: `[B, 2]`, widths and heights of the images as decoded.
        """
        epoch, settings, size = self._in_cycle(epoch), self.settings, self.geometry.size
        sizes = self.preparation.sizes(sizes)
        random = batch_generator(self.seed, "crop", epoch, indices)
        if settings.crop == "none":
            boxes = np.tile(np.array([0, 0, size, size], dtype=np.int64), (len(indices), 1))
        elif settings.crop == "resized":
            boxes = area_boxes(random, sizes, settings.scale)
        else:
            boxes = window_boxes(random, sizes, size, settings.padding if settings.crop == "shift" else 0)
        mirrored = np.zeros(len(indices), dtype=bool)
        if settings.flip:
            mirrored = batch_generator(self.seed, "flip", epoch, indices).random(1)[:, 0] < 0.5
        drawn = Draws(epoch, indices, boxes, mirrored)
        if settings.jitter > 0:
            random = batch_generator(self.seed, "jitter", epoch, indices)
            factors = random.uniform(1 - settings.jitter, 1 + settings.jitter, 3)
            drawn = replace(drawn, factors=factors, order=random.permutation(3))
        return replace(drawn, erased=self._erased(epoch, indices)) if settings.erasing > 0 else drawn

    def draw_mixes(self, epoch: int, indices: np.ndarray, images: int) -> Mixes | None:
        """How augmented images are mixed with others of so many training images; None where none are.

        A partner is augmented as it is at its own place in this epoch.
        """
        if not mixes(self.settings):
            return None
        return draw_mixes(self.settings, self.seed, self._in_cycle(epoch), indices, images, self.geometry.size)

    @cached_property
    def preparation(self) -> Preparation:
        """What precedes the crop."""
        match self.settings.crop:
            case "none":
                return Preparation("centre", self.geometry)
            case "shift":
                return Preparation("centre", replace(self.geometry, resize=self.geometry.size))
            case "random":
                return Preparation("resized", self.geometry)
            case _:
                return Preparation("whole", self.geometry)

    def cut(self, prepared: Sequence[Image.Image], draws: Draws) -> Tensor:
        """The squares `[B, size, size, 3]` uint8 of prepared images, mirrored where that was drawn."""
        size, resampling = self.geometry.size, FILTERS[self.geometry.interpolation]
        crops = np.empty((len(prepared), size, size, 3), dtype=np.uint8)
        for row, (image, box, mirrored) in enumerate(
            zip(prepared, draws.boxes.tolist(), draws.mirrored.tolist(), strict=True)
        ):
            # Cropped first: resizing a box would let pixels outside it bleed in. Black where it reaches outside.
            cropped = image.crop(box)
            square = cropped if cropped.size == (size, size) else cropped.resize((size, size), resampling)
            crops[row] = np.asarray(square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else square)
        return torch.from_numpy(crops)

    def vary(self, crops: Tensor, draws: Draws) -> Tensor:
        """All that follows the crop, to squares `[B, size, size, 3]` uint8 on any device; may change them in place."""
        if self.settings.randaugment is not None:
            crops = self._rand_augmented(crops, draws)
        if draws.factors is not None and draws.order is not None:
            crops = jitter(crops, draws.factors, draws.order)
        return crops if draws.erased is None else erase(crops, draws.erased)

    def without_mixing(self) -> "Augmentation":
        """The same of each image by itself, for a training whose labels cannot be mixed."""
        return replace(self, settings=self.settings.model_copy(update={"mixup": 0.0, "cutmix": 0.0}))

    def _in_cycle(self, epoch: int) -> int:
        return epoch % self.cycle if self.cycle else epoch

    def _erased(self, epoch: int, indices: np.ndarray) -> np.ndarray:
        boxes = np.zeros((len(indices), 4), dtype=np.int64)
        chosen = batch_generator(self.seed, "erasing", epoch, indices).random(1)[:, 0] < self.settings.erasing
        random = batch_generator(self.seed, "erasing", epoch, indices[chosen])
        random.random(1)  # which chose them
        sizes = np.full((int(chosen.sum()), 2), self.geometry.size, dtype=np.int64)
        boxes[chosen] = rectangles(random, sizes, ERASED, ERASED_ASPECT)
        return boxes

    def _rand_augmented(self, crops: Tensor, draws: Draws) -> Tensor:
        """Image by image, by Pillow, on the CPU."""
        assert self.settings.randaugment is not None
        operations, magnitude = self.settings.randaugment.operations, self.settings.randaugment.magnitude
        varied = [
            rand_augment(
                Image.fromarray(square),
                generator(self.seed, "randaugment", draws.epoch, index),
                operations,
                magnitude,
            )
            for square, index in zip(crops.cpu().numpy(), draws.indices.tolist(), strict=True)
        ]
        return torch.from_numpy(np.stack([np.asarray(image) for image in varied])).to(crops.device)
