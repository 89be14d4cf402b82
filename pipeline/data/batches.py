"""How a batch is made: images read, decoded, prepared and cut in whichever process, and varied on whichever device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from exporters.core.errors import TmkdError
from exporters.images.decoding import UnreadableImageError
from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.draws import Draws, Rows
from pipeline.data.image_memory import ImageMemory, pixels_of
from pipeline.data.index import DataIndex
from pipeline.data.listing import SplitName
from pipeline.data.mixing import Mixes
from pipeline.data.preparation import Preparation
from pipeline.data.stores.registry import open_store

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
        variation: where it has been drawn already.
    """

    split: SplitName
    transform: Augmentation | Geometry
    epoch: int
    indices: np.ndarray
    device: torch.device = CPU
    variation: Variation | None = None


class Crops(NamedTuple):
    """A batch of training images that are cut out and not varied yet.

    Attributes:
        batch: with squares uint8 `[B, 3, S, S]` for images.
        partners: uint8 `[M, S, S, 3]`, squares of what M of them are mixed with; None where images are not mixed.
        variation: what was drawn.
    """

    batch: Batch
    partners: Tensor | None
    variation: Variation

    def finished(self, augmentation: Augmentation, device: torch.device) -> Batch:
        """The batch, with images varied on a device."""
        variation = self.variation
        squares = self.batch.images.permute(0, 2, 3, 1)
        squares = augmentation.vary(squares.to(device, non_blocking=True), variation.draws)
        if variation.mixes is not None and variation.partners is not None and self.partners is not None:
            mixed = variation.mixes.mixed
            if len(mixed):
                rows = torch.from_numpy(mixed).to(device)
                partners = self.partners.to(device, non_blocking=True)
                partners = augmentation.vary(partners, variation.partners.rows(mixed))
                together = variation.mixes.rows(mixed).mix(squares.index_select(0, rows), partners)
                squares = squares.index_copy(0, rows, together)
        return self.batch._replace(images=squares.permute(0, 3, 1, 2))


class Failure(NamedTuple):
    """An error message from a worker; an exception would arrive wrapped in the worker's traceback."""

    message: str


class BatchMaker(Dataset[Any]):
    """Makes the batch of a request; torch's loader passes each whole request to `__getitems__`.

    Args:
        index: the data.
        root: where its images are.
        memory_bytes: decoded pixels that may be kept; 0: none are.
    """

    def __init__(self, index: DataIndex, root: Path, memory_bytes: int) -> None:
        self._index = index
        self._store = open_store(index.store, root)
        self._memory_bytes = memory_bytes
        self._memories: dict[tuple[SplitName, Preparation, torch.device], ImageMemory] = {}

    def __getitems__(self, request: Request) -> Batch | Crops | Failure:
        try:
            if isinstance(request.transform, Geometry):
                return self._evaluation_batch(request.split, request.transform, request.indices)
            crops = self._crops(request, request.transform)
        except _BrokenImageError as error:
            return Failure(str(error))
        return crops.finished(request.transform, CPU) if request.device.type == "cpu" else crops

    def _evaluation_batch(self, split: SplitName, geometry: Geometry, indices: np.ndarray) -> Batch:
        preparation = Preparation("centre", geometry)
        memory = self._memory(split, preparation, CPU)
        if memory is None:
            pictures = [np.asarray(image) for image in self._prepared(split, preparation, indices)]
            return self._batch(split, indices, torch.from_numpy(np.stack(pictures)))
        self._fill(memory, split, preparation, indices)
        corners, mirrored = np.zeros((len(indices), 2), dtype=np.int64), np.zeros(len(indices), dtype=bool)
        return self._batch(split, indices, memory.squares(indices, corners, mirrored, geometry.size))

    def _crops(self, request: Request, augmentation: Augmentation) -> Crops:
        split = self._index.splits[request.split]
        variation = request.variation
        if variation is None:
            variation = Variation.draw(augmentation, request.epoch, request.indices, split.sizes)
        squares = self._squares(request, augmentation, variation.draws)
        batch, mixes = self._batch(request.split, request.indices, squares), variation.mixes
        if mixes is None or variation.partners is None:
            return Crops(batch, None, variation)
        labels = torch.from_numpy(split.labels[mixes.partners])
        batch = batch._replace(partners=labels, shares=torch.from_numpy(mixes.shares).to(torch.float32))
        return Crops(batch, self._squares(request, augmentation, variation.partners.rows(mixes.mixed)), variation)

    def _squares(self, request: Request, augmentation: Augmentation, draws: Draws) -> Tensor:
        """uint8 `[B, S, S, 3]`, cut out of the images that the draws are about."""
        preparation = augmentation.preparation
        memory = None
        if preparation.kind != "whole":
            memory = self._memory(request.split, preparation, request.device)
        if memory is None:
            return augmentation.cut(self._prepared(request.split, preparation, draws.indices), draws)
        self._fill(memory, request.split, preparation, draws.indices)
        return memory.squares(draws.indices, draws.boxes[:, :2], draws.mirrored, augmentation.geometry.size)

    def _batch(self, name: SplitName, indices: np.ndarray, squares: Tensor) -> Batch:
        labels = torch.from_numpy(self._index.splits[name].labels[indices])
        return Batch(squares.permute(0, 3, 1, 2), labels, torch.from_numpy(indices))

    def _prepared(self, name: SplitName, preparation: Preparation, positions: np.ndarray) -> list[Image.Image]:
        """Images that are decoded and prepared anew; decoded only once where there is room for that."""
        whole = Preparation("whole", preparation.geometry)
        memory = self._memory(name, whole, CPU)
        if memory is None:
            return [self._read(name, preparation, position) for position in positions.tolist()]
        self._fill(memory, name, whole, positions)
        return [preparation.apply(image) for image in memory.images(positions)]

    def _memory(self, name: SplitName, preparation: Preparation, device: torch.device) -> ImageMemory | None:
        """Where prepared images of a split are kept; None where nothing is kept, or there is no room.

        Whole images always have room: the loader keeps images only where those of all splits fit.
        """
        key = name, preparation, device
        if key not in self._memories and self._memory_bytes:
            sizes = preparation.sizes(self._index.splits[name].sizes)
            held = sum(memory.bytes for memory in self._memories.values())
            if preparation.kind == "whole" or held + 3 * pixels_of(sizes) <= self._memory_bytes:
                self._memories[key] = ImageMemory(sizes, device)
        return self._memories.get(key)

    def _fill(self, memory: ImageMemory, name: SplitName, preparation: Preparation, positions: np.ndarray) -> None:
        for position in memory.missing(positions):
            memory.put(position, self._read(name, preparation, position))

    def _read(self, name: SplitName, preparation: Preparation, position: int) -> Image.Image:
        """Decode and prepare an image."""
        split = self._index.splits[name]
        size = (int(split.sizes[position, 0]), int(split.sizes[position, 1]))
        path = split.paths[position]
        try:
            image = self._store.image(path)
            if image.size != size:
                raise UnreadableImageError(f"is {image.size} now and was {size} when the data was indexed")
            return preparation.apply(image)
        except (TmkdError, OSError) as error:
            where = self._store.describe(path)
            message = error.message if isinstance(error, TmkdError) else str(error)
            raise _BrokenImageError(message if where in message else f"{where}: {message}") from error


class _BrokenImageError(Exception):
    """An image changed or vanished after it was indexed; the message names it."""
