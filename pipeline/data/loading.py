"""Batches of a split: decoded, augmented or centre-cropped, the same for any number of worker processes.

Whether a split is kept decoded in memory decides how fast small data sets train on a CPU: decoding a PNG of 64 pixels
takes longer than augmenting it, and would be repeated in every epoch by processes that compete with training for the
same cores. So where all splits fit into `CACHE_BYTES` once decoded (the index knows every image's size), the first
epoch keeps the pixels and no worker process is started. The pixels kept are those that the store gave, so that the
batches are the same to the bit either way.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from exporters.core.errors import TmkdError, UnavailableError
from exporters.core.progress import counted
from exporters.images.decoding import UnreadableImageError
from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.checking import available_processors
from pipeline.data.index import DataIndex
from pipeline.data.listing import SplitName
from pipeline.data.mixing import mixes
from pipeline.data.stores.registry import open_store
from pipeline.randomness import generator

CACHE_BYTES = 512 * 2**20

EVALUATION_BATCH = 256


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
class _Request:
    """Address of one batch: all that a worker needs to make it."""

    split: SplitName
    transform: Augmentation | Geometry
    epoch: int
    indices: np.ndarray


@dataclass(frozen=True)
class _Failure:
    """An error message from a worker; an exception would arrive wrapped in the worker's traceback."""

    message: str


class _Images(Dataset[Any]):
    """Makes the batch of a request; torch's loader passes each whole request to `__getitems__`."""

    def __init__(self, index: DataIndex, root: Path, cached: bool) -> None:
        self.index = index
        self.store = open_store(index.store, root)
        self.decoded: dict[tuple[SplitName, int], bytes] | None = {} if cached else None

    def __getitems__(self, request: _Request) -> Batch | _Failure:
        transform, split = request.transform, self.index.splits[request.split]
        pictures, partners, shares = [], [], []
        for position in request.indices.tolist():
            read = position
            try:
                image = self._decode(request.split, position)
                if isinstance(transform, Augmentation):
                    picture = transform(image, request.epoch, position)
                    mix = transform.mix(request.epoch, position, len(split))
                    if mix is not None:
                        read = mix.partner
                        partner = transform(self._decode(request.split, read), request.epoch, read)
                        picture = mix.blend(picture, partner)
                    partners.append(read)
                    shares.append(1.0 if mix is None else mix.share)
                else:
                    picture = transform.apply(image)
                pictures.append(picture)
            except (TmkdError, OSError) as error:
                name = self.store.describe(split.paths[read])
                message = error.message if isinstance(error, TmkdError) else str(error)
                return _Failure(message if name in message else f"{name}: {message}")
        images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        batch = Batch(images, torch.from_numpy(split.labels[request.indices]), torch.from_numpy(request.indices))
        if isinstance(transform, Augmentation) and mixes(transform.settings):
            labels = torch.from_numpy(split.labels[np.array(partners)])
            batch = batch._replace(partners=labels, shares=torch.tensor(shares, dtype=torch.float32))
        return batch

    def _decode(self, name: SplitName, position: int) -> Image.Image:
        split = self.index.splits[name]
        size = (int(split.sizes[position, 0]), int(split.sizes[position, 1]))
        if self.decoded is not None and (name, position) in self.decoded:
            return Image.frombytes("RGB", size, self.decoded[name, position])
        path = split.paths[position]
        image = self.store.image(path)
        if image.size != size:
            where = self.store.describe(path)
            raise UnreadableImageError(f"{where}: is {image.size} now and was {size} when the data was indexed")
        if self.decoded is not None:
            self.decoded[name, position] = image.tobytes()
        return image


class _Requests:
    """The batch sampler of the one loader that serves all epochs; its requests change, the workers stay."""

    def __init__(self) -> None:
        self.current: Sequence[_Request] = ()

    def __iter__(self) -> Iterator[_Request]:
        return iter(self.current)

    def __len__(self) -> int:
        return len(self.current)


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of the training images in an epoch: int64 `[count]`, a permutation that (seed, epoch) fixes."""
    return generator(seed, "order", epoch).permutation(count).astype(np.int64)


class Loader:
    """Gives the batches of an index. Worker processes, where there are any, live as long as the loader.

    With workers one sequence of batches can be open at a time: beginning another ends the one before.

    Args:
        index: the data.
        root: where its images are, `index.root` unless they moved.
        workers: processes that decode, `data.workers`; `auto` is none where everything fits into `cache_bytes`, else
            one for each processor, 8 at most.
        cache_bytes: decoded pixels that may be kept; only without worker processes, each of which would keep its own.
    """

    def __init__(
        self, index: DataIndex, root: Path, workers: int | Literal["auto"] = "auto", cache_bytes: int = CACHE_BYTES
    ) -> None:
        decoded_bytes = sum(3 * int(split.sizes.astype(np.int64).prod(axis=1).sum()) for split in index.splits.values())
        fits = decoded_bytes <= cache_bytes
        self.index = index
        self.workers = (0 if fits else available_processors()) if workers == "auto" else workers
        self.cached = fits and self.workers == 0
        self._images = _Images(index, root, self.cached)
        self._requests = _Requests()
        self._loader: DataLoader[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes; the next epoch would start new ones."""
        self._loader = None

    def training_batches(
        self, augmentation: Augmentation, batch_size: int, seed: int, epoch: int, drop_last: bool = False
    ) -> Iterator[Batch]:
        """One epoch over the training split, in the order `epoch_order(seed, epoch, N)`.

        Args:
            augmentation: applied to (epoch, index).
            batch_size: images in a batch.
            seed: the recipe's seed.
            epoch: number of the epoch, from 0.
            drop_last: leave out a last batch that is not full, unless it is the only one.

        Raises:
            UnavailableError: an image vanished or broke since it was indexed; names it.
        """
        order = epoch_order(seed, epoch, len(self.index.splits["train"]))
        if drop_last and len(order) > batch_size:
            order = order[: len(order) // batch_size * batch_size]
        return self._batches("train", augmentation, epoch, order, batch_size)

    def steps_per_epoch(self, batch_size: int) -> int:
        """How many batches `training_batches` gives with `drop_last`."""
        return max(1, len(self.index.splits["train"]) // batch_size)

    def evaluation_batches(
        self,
        split: SplitName,
        geometry: Geometry,
        batch_size: int = EVALUATION_BATCH,
        limit: int | None = None,
    ) -> Iterator[Batch]:
        """A split once, in its own order, each image as `Geometry.apply` gives it: what validates is what ships.

        Args:
            split: which one.
            geometry: the student's.
            batch_size: images in a batch.
            limit: at most so many images, evenly spread over the split.

        Raises:
            UnavailableError: an image vanished or broke since it was indexed; names it.
        """
        count = len(self.index.splits[split])
        chosen = count if limit is None else min(count, limit)
        order = np.arange(chosen, dtype=np.int64) * count // chosen
        batches = self._batches(split, geometry, 0, order, batch_size)
        return counted(batches, f"{split} images", chosen, lambda batch: len(batch.labels))

    def _batches(
        self,
        split: SplitName,
        transform: Augmentation | Geometry,
        epoch: int,
        order: np.ndarray,
        batch_size: int,
    ) -> Iterator[Batch]:
        starts = range(0, len(order), batch_size)
        requests = [_Request(split, transform, epoch, order[start : start + batch_size]) for start in starts]
        self._requests.current = requests
        if self._loader is None:
            self._loader = self._new_loader()
        with _worker_errors():
            iterator = iter(self._loader)
        for _ in requests:
            if self.workers and self._requests.current is not requests:
                raise RuntimeError("another sequence of batches was begun on this loader before this one ended")
            with _worker_errors():
                batch = next(iterator)
            if isinstance(batch, _Failure):
                # Workers that only the garbage collector finds, through the error's traceback, take seconds to end.
                del iterator
                self.close()
                raise UnavailableError(
                    batch.message, remedy="the file changed after it was indexed; index it again: --force data"
                )
            yield batch

    def _new_loader(self) -> "DataLoader[Any]":
        return DataLoader(
            self._images,
            batch_sampler=self._requests,  # type: ignore[arg-type]
            num_workers=self.workers,
            collate_fn=_as_it_is,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            # Of its own, because torch's loader draws from the global stream otherwise, once for each iterator.
            generator=torch.Generator(),
        )


@contextmanager
def _worker_errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UnavailableError(
            "a process that decodes images was killed, as happens when memory or /dev/shm runs out",
            remedy="try --set data.workers=0, or give a container more by --shm-size=2g",
        ) from error


def _as_it_is(batch: Any) -> Any:
    return batch
