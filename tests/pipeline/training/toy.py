"""A small training: noise images, a network with batch norm and drop-out, and validation scores of choice."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from exporters.images.preprocessing import Geometry
from pipeline.console import Console
from pipeline.data.augmentation import Augmentation
from pipeline.data.loading import Batch
from pipeline.data.settings import AugmentSettings
from pipeline.distributed.parts import WHOLE, Part, own_batches
from pipeline.randomness import Samples, generator
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import Fitted, fit
from pipeline.training.settings import NetworkFitSettings
from pipeline.training.step import Training

STEPS, BATCH, SIZE, CLASSES = 3, 4, 8, 3


class Call(NamedTuple):
    """What a task is called with."""

    images: Tensor
    labels: Tensor
    guidance: Any
    ramp: float
    samples: Samples


class Task(nn.Module):
    """A task whose losses and validation scores can be replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: Callable[[Any, Call], dict[str, Tensor]] = cross_entropy
        self.scores: Iterator[float] = iter(())

    def forward(
        self, images: Tensor, labels: Tensor, guidance: Any, ramp: float, samples: Samples
    ) -> dict[str, Tensor]:
        return self.losses(self, Call(images, labels, guidance, ramp, samples))

    def metrics(self) -> dict[str, float]:
        return {}

    def classifier(self) -> Callable[[Tensor], Tensor]:
        assert not self.training
        right = round(100 * next(self.scores, 0.5))
        return lambda images: torch.eye(2)[(torch.arange(len(images)) >= right).long()]


class Net(Task):
    def __init__(self, seed: int, drop: float) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(drop))
        self.head = nn.Linear(6, CLASSES)

    def layers(self) -> list[list[nn.Parameter]]:
        return [list(self.body.parameters())]

    def logits(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).mean((2, 3)))


class Loader:
    """Batches without files: those of `batches`, and 100 validation images of class 0."""

    def __init__(self, batches: Callable[[int], Iterator[Batch]]) -> None:
        self._batches = batches
        self.asked: list[tuple[int, int, int]] = []

    def training_batches(
        self,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        epoch: int,
        drop_last: bool = False,
        device: torch.device | None = None,
        part: Part = WHOLE,
        done: int = 0,
    ) -> Iterator[Batch]:
        assert drop_last
        self.asked.append((batch_size, seed, epoch))
        for batch in islice(self._batches(epoch), done, None):
            own = (values.chunk(part.count)[part.number] for values in batch if values is not None)
            yield Batch(*own)

    def names(self, indices: Tensor) -> list[str]:
        return [f"{index}.png" for index in indices.tolist()]

    def steps_per_epoch(self, batch_size: int) -> int:
        return STEPS

    def evaluation_batches(self, split: str, geometry: Geometry, part: Part = WHOLE) -> Sequence[Batch]:
        assert (split, geometry.size) == ("validation", SIZE)
        images = torch.zeros(100, 3, SIZE, SIZE, dtype=torch.uint8)
        return own_batches([Batch(images, torch.zeros(100, dtype=torch.int64), torch.arange(100))], part)


def batches_of(epoch: int, seed: int = 5) -> Iterator[Batch]:
    order = generator(seed, "order", epoch).permutation(STEPS * BATCH)
    for start in range(0, STEPS * BATCH, BATCH):
        indices = order[start : start + BATCH]
        images = [generator(0, "image", index=int(i)).integers(0, 256, (SIZE, SIZE, 3), dtype="uint8") for i in indices]
        stacked = torch.stack([torch.from_numpy(image) for image in images]).permute(0, 3, 1, 2)
        yield Batch(stacked, torch.from_numpy(indices % CLASSES), torch.from_numpy(indices))


def cross_entropy(task: Any, call: Call) -> dict[str, Tensor]:
    return {"ce": nn.functional.cross_entropy(task.logits(call.images), call.labels)}


def make_training(task: Task | None = None, drop: float = 0.5, **changes: Any) -> Training:
    """The small training; `losses`, `scores`, `batches` and `settings` replace its own, others fields of `Training`."""
    task = task if task is not None else Net(1, drop)
    task.losses = changes.pop("losses", cross_entropy)
    task.scores = iter(changes.pop("scores", ()))
    settings = NetworkFitSettings(**({"epochs": 4, "batch_size": BATCH, "lr": 0.1} | changes.pop("settings", {})))
    loader: Any = Loader(changes.pop("batches", batches_of))
    augmentation = Augmentation(AugmentSettings(), Geometry(SIZE, SIZE), 0)
    given: Any = task
    return replace(Training("toy", given, loader, augmentation, settings, seed=7), **changes)


def console() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(stream, plain=True), stream


def run(
    training: Training,
    folder: Path,
    log_metrics: Callable[[int, dict[str, float]], None] = lambda _epoch, _metrics: None,
    *,
    fingerprint: str = "one",
    precision: Any = "fp32",
    every_seconds: float | None = None,
) -> Fitted:
    checkpoint = Checkpoint(folder / "checkpoint.pt", fingerprint, every_seconds=every_seconds)
    return fit(training, make_fabric("cpu", precision), checkpoint, console()[0], log_metrics)
