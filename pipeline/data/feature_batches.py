"""Batches of a frozen network's features in the place of images: it looks at each image and view once, not each epoch.

Features are of plain images, without augmentation, and are kept in memory: all that `MEMORY_BYTES` has room for.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from exporters.core.growing import GrowingArray
from exporters.images.preprocessing import Geometry
from pipeline.data.listing import SplitName
from pipeline.data.loading import Batch, Loader, epoch_order
from pipeline.distributed.collectives import interleaved_rows, this_part
from pipeline.distributed.parts import WHOLE, Part, own_batches, own_images

if TYPE_CHECKING:
    from pipeline.data.augmentation import Augmentation

MakeViews = Callable[[Tensor], Tensor]
"""Images `[B, 3, S, S]` → their views `[V, B, 3, S, S]`, such as a `pipeline.tmkd.views.views.Views`."""

MEMORY_BYTES = 512 * 2**20
"""Of the features of one split."""


class FeatureLoader:
    """Gives batches like a `Loader`, with features `[B, V, C]` float32 for images.

    Args:
        loader: gives the images.
        geometry: resize and crop of the images.
        views: of training images; validation images are seen as they are.
        features_of: images `[n, 3, S, S]` in `[0, 1]` on the device → features `[n, C]`; without gradient.
        device: where images are looked at.
        memory_bytes: for the features of each split. Where they need more, an even selection of the images is taken.

    Attributes:
        images: training images whose features are kept.
    """

    def __init__(
        self,
        loader: Loader,
        geometry: Geometry,
        views: MakeViews,
        features_of: Callable[[Tensor], Tensor],
        device: torch.device,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._loader = loader
        self._geometry = geometry
        self._features_of = features_of
        self._device = device
        self._memory_bytes = memory_bytes
        self._train = self._look("train", views)
        self._validation = self._look("validation", _as_they_are)
        self.images = len(self._train.labels)

    def training_batches(
        self,
        augmentation: "Augmentation",
        batch_size: int,
        seed: int,
        epoch: int,
        drop_last: bool = False,
        device: torch.device | None = None,
        part: Part = WHOLE,
        done: int = 0,
    ) -> Iterator[Batch]:
        """One epoch over the training features, in the order `epoch_order(seed, epoch, N)`.

        Args:
            augmentation: not used.
            batch_size, seed, epoch, drop_last, part, done: as for a `Loader`.
            device: not used; features are kept on the CPU.
        """
        order = epoch_order(seed, epoch, self.images)
        if drop_last and len(order) > batch_size:
            order = order[: len(order) // batch_size * batch_size]
        order, batch_size = own_images(order, batch_size, part)
        for start in range(done * batch_size, len(order), batch_size):
            chosen = torch.from_numpy(order[start : start + batch_size])
            yield Batch(self._train.images[chosen], self._train.labels[chosen], self._train.indices[chosen])

    def names(self, indices: Tensor) -> list[str]:
        """As of a `Loader`."""
        return self._loader.names(indices)

    def steps_per_epoch(self, batch_size: int) -> int:
        """How many batches `training_batches` gives with `drop_last`."""
        return max(1, self.images // batch_size)

    def evaluation_batches(self, split: SplitName, geometry: Geometry, part: Part = WHOLE) -> Iterator[Batch]:
        """The features `[N, 1, C]` of the validation split in its order, of rgb alone, in one batch: the first part's.

        Raises:
            ValueError: another split, or another geometry.
        """
        if split != "validation" or geometry != self._geometry:
            raise ValueError(f"there are no features of {split} images at {geometry}")
        yield from own_batches([self._validation], part)

    def _look(self, split: SplitName, views: MakeViews) -> Batch:
        """Features `[N, V, C]`, labels and indices of a split, as far as there is room; each process sees a part."""
        limit: int | None = None
        features, labels, indices = kept = (GrowingArray(), GrowingArray(), GrowingArray())
        for batch in self._loader.evaluation_batches(split, self._geometry, batch_size=1, limit=1):
            row_bytes = 4 * self._seen(batch.images, views).numel()
            limit = max(1, self._memory_bytes // row_bytes)
        for batch in self._loader.evaluation_batches(split, self._geometry, limit=limit, part=this_part()):
            features.add(self._seen(batch.images, views).numpy())
            labels.add(batch.labels.numpy())
            indices.add(batch.indices.numpy())
        return Batch(*(torch.from_numpy(interleaved_rows(rows)) for rows in kept))

    @torch.no_grad()
    def _seen(self, images: Tensor, views: MakeViews) -> Tensor:
        """uint8 images `[B, 3, S, S]` → features `[B, V, C]` float32 on the CPU, a view at a time."""
        pixels = images.to(self._device).to(torch.float32).div_(255)
        shown = [view.contiguous(memory_format=torch.channels_last) for view in views(pixels)]
        found = [self._features_of(view).float().cpu() for view in shown]
        return torch.stack(found, dim=1)


def _as_they_are(images: Tensor) -> Tensor:
    return images[None]
