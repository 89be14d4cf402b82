"""How a batch is made: images read, decoded, prepared and cut in whichever process, and varied on whichever device."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from exporters.core.errors import TmkdError, message_of
from exporters.images.decoding import UnreadableImageError
from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.device_cutting import cut_on_device
from pipeline.data.draws import Draws, Rows
from pipeline.data.image_memory import ImageMemory, pixels_of
from pipeline.data.index import DataIndex
from pipeline.data.listing import SplitName
from pipeline.data.mixing import Mixes
from pipeline.data.pictures import Pictures, is_plain_jpeg
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


class BatchMaker(Dataset[Any]):
    """Makes the batch of a request; torch's loader passes each whole request to `__getitems__`.

    The first time that a process reads an image, it compares the image's SHA-256 with the index: what is trained on is
    what was indexed.

    Args:
        index: the data.
        root: where its images are.
        memory_bytes: decoded pixels that may be kept; 0: none are.
    """

    def __init__(self, index: DataIndex, root: Path, memory_bytes: int) -> None:
        self._index = index
        self._store = open_store(index.store, root)
        self._memory_bytes = memory_bytes
        self._compared: dict[SplitName, np.ndarray] = {}
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
        labels, indices = torch.from_numpy(split.labels[request.indices]), torch.from_numpy(request.indices)
        images, mixes = self._images(request, augmentation, variation.draws), variation.mixes
        if mixes is None or variation.partners is None:
            return Crops(images, None, labels, indices, None, None, variation)
        partners = self._images(request, augmentation, variation.partners.rows(mixes.mixed))
        partner_labels, shares = (
            torch.from_numpy(each) for each in (split.labels[mixes.partners], mixes.shares.astype(np.float32))
        )
        return Crops(images, partners, labels, indices, partner_labels, shares, variation)

    def _images(self, request: Request, augmentation: Augmentation, draws: Draws) -> Tensor | Pictures:
        """Squares uint8 `[B, S, S, 3]` of the images that the draws are about; what the device decodes, as it is."""
        name, preparation = request.split, augmentation.preparation
        if request.decode and not self._memory_bytes:
            return self._pictures(name, draws.indices)
        on_device = request.device.type != "cpu"
        memory = None
        if preparation.kind != "whole" or on_device:
            memory = self._memory(name, preparation, request.device)
        if memory is None:
            return augmentation.cut(self._prepared(name, preparation, draws.indices), draws)
        self._fill(memory, name, preparation, draws.indices)
        if preparation.kind == "whole":
            return cut_on_device(*memory.lines(draws.indices), draws, augmentation)
        return memory.squares(draws.indices, draws.boxes[:, :2], draws.mirrored, augmentation.geometry.size)

    def _pictures(self, name: SplitName, positions: np.ndarray) -> Pictures:
        """Images as a GPU takes them: JPEG files as they are, others decoded."""
        split = self._index.splits[name]
        whole = Preparation("whole", Geometry(1, 1))
        images: list[bytes | Image.Image] = []
        for position in positions.tolist():
            size = (int(split.sizes[position, 0]), int(split.sizes[position, 1]))
            with self._naming(split.paths[position]):
                data = self._store.read(split.paths[position])
                if self._is_first(name, position):
                    self._compare(name, position, sha256(data).digest())
            images.append(data if is_plain_jpeg(data, size) else self._read(name, whole, position))
        names = [self._store.describe(split.paths[position]) for position in positions.tolist()]
        return Pictures.of(images, split.sizes[positions], names)

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
        with self._naming(path):
            if self._is_first(name, position):
                digest, image = self._store.examine(path)
                self._compare(name, position, digest)
            else:
                image = self._store.image(path)
            if image.size != size:
                raise UnreadableImageError(f"is {image.size} now and was {size} when the data was indexed")
            return preparation.apply(image)

    def _is_first(self, name: SplitName, position: int) -> bool:
        """Whether this process has not compared the image with the index yet."""
        if name not in self._compared:
            self._compared[name] = np.zeros(len(self._index.splits[name]), dtype=bool)
        return not self._compared[name][position]

    def _compare(self, name: SplitName, position: int, digest: bytes) -> None:
        """Refuse an image whose SHA-256 is not that of the index."""
        if digest != self._index.splits[name].sha256[position].tobytes():
            raise UnreadableImageError("the image is another one than when the data was indexed (its SHA-256 differs)")
        self._compared[name][position] = True

    @contextmanager
    def _naming(self, path: str) -> Iterator[None]:
        """Errors about an image name it."""
        try:
            yield
        except (TmkdError, OSError) as error:
            where, message = self._store.describe(path), message_of(error)
            raise _BrokenImageError(message if where in message else f"{where}: {message}") from error


class _BrokenImageError(Exception):
    """An image changed or vanished after it was indexed; the message names it."""
