"""Making a batch: images are read, compared with the index, decoded, prepared and cut, in whichever process."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from exporters.core.errors import TmkdError, message_of
from exporters.images.decoding import UnreadableImageError
from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.batches import CPU, Batch, Crops, Failure, Request, Variation
from pipeline.data.device_cutting import cut_on_device
from pipeline.data.draws import Draws
from pipeline.data.image_memory import ImageMemory, pixels_of
from pipeline.data.index import DataIndex
from pipeline.data.listing import SplitName
from pipeline.data.pictures import Pictures, is_plain_jpeg
from pipeline.data.preparation import Preparation
from pipeline.data.stores.registry import open_store


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
