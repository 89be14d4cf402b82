"""Mixup and CutMix of two training images: a pure function of (seed, epoch, index), like all augmentation.

The partner is sampled from the training split and not from the batch: so the mixed image does not depend on which
images are in a batch, and a teacher's answer to it can be kept under (epoch, index).
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.data.settings import AugmentSettings
from pipeline.randomness import generator


@dataclass(frozen=True)
class Mix:
    """How an image is mixed with another.

    Attributes:
        partner: the other image's index in the training split.
        share: of the image itself in the label, in [0.5, 1]: the image's own label is the dominant one.
        box: left, top, right, bottom of what is taken from the partner (CutMix); None for mixup.
    """

    partner: int
    share: float
    box: tuple[int, int, int, int] | None = None

    def blend(self, image: np.ndarray, partner: np.ndarray) -> np.ndarray:
        """Both images, augmented, uint8 `[S, S, 3]`, as one of the same kind."""
        if self.box is None:
            mixed = self.share * image.astype(np.float64) + (1 - self.share) * partner
            return np.rint(mixed).astype(np.uint8)
        left, top, right, bottom = self.box
        blended = image.copy()
        blended[top:bottom, left:right] = partner[top:bottom, left:right]
        return blended


def mixes(settings: AugmentSettings) -> bool:
    """Whether images are mixed with others."""
    return settings.mix_probability > 0 and (settings.mixup > 0 or settings.cutmix > 0)


def draw_mix(settings: AugmentSettings, seed: int, epoch: int, index: int, images: int, size: int) -> Mix | None:
    """How an image is mixed in an epoch; None where it stays as it is.

    The share follows Beta(α, α) (Zhang et al. 2018, arXiv 1710.09412). Which of two images is the first and which the
    partner is a matter of name, so the larger share goes to the image itself: pairs are distributed as in the paper,
    and the image's own label is always the dominant one. CutMix (Yun et al. 2019, arXiv 1905.04899) takes a square of
    `1 - share` of the area from the partner, around a uniform point and clipped at the border; the label follows the
    pixels.

    Args:
        settings: the recipe's `data.augment`; where both kinds are on, an image takes either with equal probability.
        seed, epoch, index: the address.
        images: in the training split.
        size: side of the square image, pixels.
    """
    kinds = [name for name in ("mixup", "cutmix") if getattr(settings, name) > 0]
    random = generator(seed, "mixing", epoch, index)
    chosen, kind, across, down = random.random(4).tolist()
    if not kinds or images < 2 or chosen >= settings.mix_probability:
        return None
    partner = int(random.integers(images - 1))
    partner += partner >= index
    name = kinds[int(kind * len(kinds))]
    alpha = getattr(settings, name)
    share = float(random.beta(alpha, alpha))
    share = max(share, 1 - share)
    if name == "mixup":
        return Mix(partner, share)
    side = int(size * math.sqrt(1 - share))  # rounded down, so that the image itself keeps the larger part
    left, top = (int(place * size) - side // 2 for place in (across, down))
    right, bottom = min(left + side, size), min(top + side, size)
    left, top = max(left, 0), max(top, 0)
    return Mix(partner, 1 - (right - left) * (bottom - top) / size**2, (left, top, right, bottom))
