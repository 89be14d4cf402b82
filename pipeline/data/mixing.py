"""Mixup and CutMix of two training images: a pure function of (seed, epoch, index), like all augmentation.

The partner is sampled from the training split and not from the batch: so the mixed image does not depend on which
images are in a batch, and a teacher's answer to it can be kept under (epoch, index).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.data.draws import Rows
from pipeline.data.pixels import blend, paste
from pipeline.data.settings import AugmentSettings
from pipeline.randomness import batch_generator, generator


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


@dataclass(frozen=True)
class Mixes(Rows):
    """How the images of a batch are mixed.

    Attributes:
        partners: int64 `[B]`, the other image's index in the training split; the image's own where it is not mixed.
        shares: float64 `[B]`, of the image itself in the label, in [0.5, 1].
        boxes: int64 `[B, 4]`, what is taken from the partner (CutMix); an empty one for mixup.
        pasted: bool `[B]`, whether it is CutMix.
    """

    partners: np.ndarray
    shares: np.ndarray
    boxes: np.ndarray
    pasted: np.ndarray

    @property
    def mixed(self) -> np.ndarray:
        """int64 `[M]`, the rows that are mixed."""
        return np.flatnonzero(self.shares < 1)

    def mix(self, images: Tensor, partners: Tensor) -> None:
        """Mix images uint8 `[B, S, S, 3]`, in place, with partners `[M, S, S, 3]` of those that are; all augmented."""
        rows = self.mixed
        pasted = self.pasted[rows]
        for chosen, function, how in ((pasted, paste, self.boxes), (~pasted, blend, self.shares)):
            if chosen.any():
                places = torch.from_numpy(np.flatnonzero(chosen)).to(partners.device)
                others = partners if chosen.all() else partners.index_select(0, places)
                function(images, rows[chosen], others, how[rows[chosen]])


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
    kinds = _kinds(settings)
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


def draw_mixes(settings: AugmentSettings, seed: int, epoch: int, indices: np.ndarray, images: int, size: int) -> Mixes:
    """`draw_mix` of each of the indices int64 `[B]`, drawn together."""
    alphas = np.array([getattr(settings, name) for name in _kinds(settings)])
    if images < 2 or not 0.01 <= alphas.min() <= alphas.max() <= 1:  # numpy has other methods for others
        drawn = [draw_mix(settings, seed, epoch, index, images, size) for index in indices.tolist()]
        return _together(indices, drawn)
    random = batch_generator(seed, "mixing", epoch, indices)
    chosen, kind, across, down = random.random(4).T
    partners = random.integers(0, images - 1, 1)[:, 0]
    partners += partners >= indices
    kind = (kind * len(alphas)).astype(np.int64)
    shares = random.beta(alphas[kind])
    shares = np.maximum(shares, 1 - shares)
    pasted = np.array([name == "cutmix" for name in _kinds(settings)])[kind]

    side = (size * np.sqrt(1 - shares)).astype(np.int64)
    low = (np.stack([across, down], axis=1) * size).astype(np.int64) - side[:, None] // 2
    boxes = np.concatenate([np.maximum(low, 0), np.minimum(low + side[:, None], size)], axis=1)
    boxes[~pasted] = 0
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    shares = np.where(pasted, 1 - areas / size**2, shares)

    still = chosen >= settings.mix_probability
    boxes[still] = 0
    return Mixes(np.where(still, indices, partners), np.where(still, 1.0, shares), boxes, pasted & ~still)


def _together(indices: np.ndarray, drawn: Sequence[Mix | None]) -> Mixes:
    pairs = list(zip(indices.tolist(), drawn, strict=True))
    return Mixes(
        np.array([index if mix is None else mix.partner for index, mix in pairs], dtype=np.int64),
        np.array([1.0 if mix is None else mix.share for mix in drawn]),
        np.array([(0,) * 4 if mix is None or mix.box is None else mix.box for mix in drawn], dtype=np.int64),
        np.array([mix is not None and mix.box is not None for mix in drawn], dtype=bool),
    )


def _kinds(settings: AugmentSettings) -> list[str]:
    return [name for name in ("mixup", "cutmix") if getattr(settings, name) > 0]
