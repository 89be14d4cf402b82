"""Batches of a split: decoded, augmented or centre-cropped, the same for any number of worker processes.

Whether a split is kept decoded in memory decides how fast small data sets train: decoding a PNG of 64 pixels takes
longer than augmenting it, and would be repeated in every epoch by processes that compete with training for the same
cores. So where all splits fit into `CACHE_BYTES` once decoded (the index knows every image's size), the first epoch
keeps the pixels, on the device that trains, and no worker process is started. Batches are the same to the bit either
way.
"""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch.utils.data import DataLoader

from exporters.core.errors import UnavailableError
from exporters.core.freed_memory import give_back_freed_memory
from exporters.core.progress import counted
from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.batch_maker import BatchMaker
from pipeline.data.batches import CPU, Batch, Crops, Failure, Request
from pipeline.data.checking import available_processors
from pipeline.data.index import DataIndex
from pipeline.data.listing import SplitName
from pipeline.data.path_table import printable
from pipeline.data.together import batches_together
from pipeline.distributed.parts import WHOLE, Part, own_batches, own_images
from pipeline.distributed.ranks import this_rank
from pipeline.randomness import generator

CACHE_BYTES = 512 * 2**20

EVALUATION_BATCH = 256

_TRIMMED_EVERY = 16
"""Batches of an evaluation after which freed memory is given back; that takes less than a hundredth of their time."""


class _Requests:
    """The batch sampler of the one loader that serves all epochs; its requests change, the workers stay."""

    def __init__(self) -> None:
        self.current: Sequence[Request] = ()

    def __iter__(self) -> Iterator[Request]:
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
            one for each processor, 8 at most, of which processes that train together have a share each.
        cache_bytes: decoded pixels that may be kept; only without worker processes, each of which would keep its own.
        decode: where training images are decoded that are not kept, `data.decode`.
    """

    def __init__(
        self,
        index: DataIndex,
        root: Path,
        workers: int | Literal["auto"] = "auto",
        cache_bytes: int = CACHE_BYTES,
        decode: Literal["cpu", "gpu"] = "cpu",
    ) -> None:
        decoded_bytes = sum(3 * int(split.sizes.astype(np.int64).prod(axis=1).sum()) for split in index.splits.values())
        self.fits = fits = decoded_bytes <= cache_bytes
        self.index = index
        self.workers = (
            (0 if fits else max(1, available_processors() // this_rank().local_count)) if workers == "auto" else workers
        )
        self.cached = fits and self.workers == 0
        self._maker = BatchMaker(index, root, cache_bytes if self.cached else 0)
        self._decode = decode
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
        self,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        epoch: int,
        drop_last: bool = False,
        device: torch.device = CPU,
        part: Part = WHOLE,
        done: int = 0,
    ) -> Iterator[Batch]:
        """One epoch over the training split, in the order `epoch_order(seed, epoch, N)`.

        Args:
            augmentation: applied to (epoch, index).
            batch_size: images in a batch.
            seed: the recipe's seed.
            epoch: number of the epoch, from 0.
            drop_last: leave out a last batch that is not full, unless it is the only one.
            device: where images are varied, and kept where they are kept: a CUDA device; for any other, the CPU.
            part: of each batch, the images that one of several processes takes.
            done: batches at the beginning of the epoch that are left out; the others are the same.

        Raises:
            UnavailableError: an image vanished or broke since it was indexed; names it. Or the device cannot decode
                images.
        """
        if self._decode == "gpu":
            check_decoder(device)
        if device.type != "cuda":
            device = CPU
        order = epoch_order(seed, epoch, len(self.index.splits["train"]))
        if drop_last and len(order) > batch_size:
            order = order[: len(order) // batch_size * batch_size]
        own, size = own_images(order, batch_size, part)
        return self._batches("train", augmentation, epoch, own[done * size :], size, device)

    def names(self, indices: torch.Tensor) -> list[str]:
        """The keys of some training images, as text that can be printed; `indices` int64 `[n]`."""
        paths = self.index.splits["train"].paths
        return [printable(paths[index]) for index in indices.tolist()]

    def steps_per_epoch(self, batch_size: int) -> int:
        """How many batches `training_batches` gives with `drop_last`."""
        return max(1, len(self.index.splits["train"]) // batch_size)

    def evaluation_batches(
        self,
        split: SplitName,
        geometry: Geometry,
        batch_size: int = EVALUATION_BATCH,
        limit: int | None = None,
        part: Part = WHOLE,
        indices: np.ndarray | None = None,
    ) -> Iterator[Batch]:
        """A split once, in its own order, each image as `Geometry.apply` gives it: what validates is what ships.

        Args:
            split: which one.
            geometry: the student's.
            batch_size: images in a batch.
            limit: at most so many images, evenly spread over the split.
            part: of the batches, those that one of several processes takes.
            indices: int64, the positions of the images that are wanted, in the place of `limit`.

        Raises:
            UnavailableError: an image vanished or broke since it was indexed; names it.
        """
        count = len(self.index.splits[split])
        chosen = count if limit is None else min(count, limit)
        order = np.arange(chosen, dtype=np.int64) * count // chosen if indices is None else indices
        batches = _trimmed(self._batches(split, geometry, 0, order, batch_size, part=part))
        return counted(batches, f"{split} images", len(order), lambda batch: part.count * len(batch.labels))

    def _batches(
        self,
        split: SplitName,
        transform: Augmentation | Geometry,
        epoch: int,
        order: np.ndarray,
        batch_size: int,
        device: torch.device = CPU,
        part: Part = WHOLE,
    ) -> Iterator[Batch]:
        starts = own_batches(range(0, len(order), batch_size), part)
        decode = self._decode == "gpu" and split == "train" and isinstance(transform, Augmentation)
        requests = [
            Request(split, transform, epoch, order[start : start + batch_size], device, decode) for start in starts
        ]
        together = batches_together(self._maker, self.index, requests)
        for made in together if self.cached else self._from_loader(requests):
            if isinstance(made, Failure):
                # Workers that only the garbage collector finds, through the error's traceback, take seconds to end.
                self.close()
                raise UnavailableError(
                    made.message, remedy="the file changed after it was indexed; index it again: --force data"
                )
            if isinstance(made, Crops):
                assert isinstance(transform, Augmentation)
                yield made.finished(transform, device)
            else:
                yield made

    def _from_loader(self, requests: Sequence[Request]) -> Iterator[Batch | Crops | Failure]:
        """Made by torch's loader, in its processes where it has any."""
        self._requests.current = requests
        if self._loader is None:
            self._loader = self._new_loader()
            if self.workers:
                give_back_freed_memory()
        with _worker_errors():
            iterator = iter(self._loader)
        for _ in requests:
            if self.workers and self._requests.current is not requests:
                raise RuntimeError("another sequence of batches was begun on this loader before this one ended")
            with _worker_errors():
                made = next(iterator)
            yield made

    def _new_loader(self) -> "DataLoader[Any]":
        return DataLoader(
            self._maker,
            batch_sampler=self._requests,  # type: ignore[arg-type]
            num_workers=self.workers,
            collate_fn=_as_it_is,
            worker_init_fn=_leave_signals_to_the_main_process,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            # Of its own, because torch's loader draws from the global stream otherwise, once for each iterator.
            generator=torch.Generator(),
        )


def _trimmed(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches. What a network makes of them leaves holes in the heap, to 5 MB a batch of 256 images of 32 px:
    aligned arrays seldom fit where others of their size were."""
    for number, batch in enumerate(batches, 1):
        yield batch
        if number % _TRIMMED_EVERY == 0:
            give_back_freed_memory()


def check_decoder(device: torch.device) -> None:
    """Look whether a device can decode JPEG files.

    Raises:
        UnavailableError: it cannot.
    """
    if device.type != "cuda":
        raise UnavailableError(
            f"data.decode: gpu needs an NVIDIA GPU, and training runs on {device.type}",
            remedy="Use --set data.decode=cpu",
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


def _leave_signals_to_the_main_process(_worker: int) -> None:
    """A terminal, or a cluster that ends a job, tells all processes; the main one ends the others when it is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # elsewhere it could not be known who sent a SIGTERM
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_told_by, args=(os.getppid(),), daemon=True).start()


def _end_when_told_by(main: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != main:
        pass
    os._exit(0)


def _as_it_is(batch: Any) -> Any:
    return batch
