"""The parts of a batch: its address, what is drawn for it, its images as they were cut, and varied on any device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.draws import Draws, Rows
from pipeline.data.listing import SplitName
from pipeline.data.mixing import Mixes
from pipeline.data.pictures import Pictures

CPU = torch.device("cpu")


class Batch(NamedTuple):
    """Images with their labels.

    Attributes:
        images: uint8 `[B, 3, S, S]`, RGB, channels last in memory.
        labels: int64 `[B]`.
        indices: int64 `[B]`, positions within the split.
        partners: int64 `[B]`, the label of what each image is mixed with; None where images are not mixed.
        shares: float32 `[B]`, the share of `labels` in [0.5, 1], 1 for an image that is not mixed; None likewise.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    partners: Tensor | None = None
    shares: Tensor | None = None

    def split(self, bounds: Sequence[int]) -> "Iterator[Batch]":
        """Batches of the images between each bound and the next."""
        for start, end in pairwise(bounds):
            yield Batch(*(None if each is None else each[start:end] for each in self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Variation(Rows):
    """All that is drawn for a batch: about its images, and about what they are mixed with.

    Attributes:
        draws: of the images.
        mixes: None where images are not mixed.
        partners: of each image's partner; None likewise.
    """

    draws: Draws
    mixes: Mixes | None = None
    partners: Draws | None = None

    @classmethod
    def draw(cls, augmentation: Augmentation, epoch: int, indices: np.ndarray, sizes: np.ndarray) -> "Variation":
        """For some images of a training split; `sizes` int32 `[N, 2]` are those of the whole split."""
        draws = augmentation.draw(epoch, indices, sizes[indices])
        mixes = augmentation.draw_mixes(epoch, indices, len(sizes))
        if mixes is None:
            return cls(draws)
        return cls(draws, mixes, augmentation.draw(epoch, mixes.partners, sizes[mixes.partners]))


@dataclass(frozen=True)
class Request:
    """The address of one batch: all that is needed to make it, in any process.

    Attributes:
        split: which one.
        transform: how training images are varied, or the geometry of evaluation.
        epoch: number of the epoch, from 0.
        indices: int64 `[B]`, positions in the split.
        device: where training images are varied. Elsewhere than on the CPU, a worker leaves that to the main process.
        decode: whether training images are decoded on that device too, where they are JPEG files and not kept.
        variation: where it has been drawn already.
    """

    split: SplitName
    transform: Augmentation | Geometry
    epoch: int
    indices: np.ndarray
    device: torch.device = CPU
    decode: bool = False
    variation: Variation | None = None


class Crops(NamedTuple):
    """A batch of training images that are not varied yet.

    Attributes:
        images: squares uint8 `[B, S, S, 3]`, or the images themselves, which are cut on the device.
        partners: of what M of them are mixed with, likewise; None where images are not mixed.
        labels, indices, partner_labels, shares: as in a `Batch`.
        variation: what was drawn.
    """

    images: Tensor | Pictures
    partners: Tensor | Pictures | None
    labels: Tensor
    indices: Tensor
    partner_labels: Tensor | None
    shares: Tensor | None
    variation: Variation

    def finished(self, augmentation: Augmentation, device: torch.device) -> Batch:
        """The batch, with images varied on a device.

        Raises:
            UnavailableError: an image that is decoded there is broken.
        """
        variation = self.variation
        squares = _varied(self.images, augmentation, variation.draws, device)
        if variation.mixes is not None and variation.partners is not None and self.partners is not None:
            mixed = variation.mixes.mixed
            if len(mixed):
                partners = _varied(self.partners, augmentation, variation.partners.rows(mixed), device)
                variation.mixes.mix(squares, partners)
        return Batch(squares.permute(0, 3, 1, 2), self.labels, self.indices, self.partner_labels, self.shares)


def _varied(images: Tensor | Pictures, augmentation: Augmentation, draws: Draws, device: torch.device) -> Tensor:
    if isinstance(images, Pictures):
        squares = images.squares(draws, augmentation, device)
    else:
        squares = images.to(device, non_blocking=True)
    return augmentation.vary(squares, draws)


class Failure(NamedTuple):
    """An error message from a worker; an exception would arrive wrapped in the worker's traceback."""

    message: str
