"""A small job for the training loop: noise images, a net with batch norm and drop-out."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.console import Console
from pipeline.data.loading import Batch
from pipeline.randomness import generator
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import Fitted, Job, Step, fit
from pipeline.training.settings import FitSettings

STEPS, BATCH, SIZE, CLASSES = 3, 4, 8, 3


class Net(nn.Module):
    def __init__(self, seed: int, drop: float) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(drop))
        self.head = nn.Linear(6, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).mean((2, 3)))


def batches_of(pass_: int, seed: int = 5) -> Iterator[Batch]:
    order = generator(seed, "order", pass_).permutation(STEPS * BATCH)
    for start in range(0, STEPS * BATCH, BATCH):
        indices = order[start : start + BATCH]
        images = [generator(0, "image", index=int(i)).integers(0, 256, (SIZE, SIZE, 3), dtype="uint8") for i in indices]
        stacked = torch.stack([torch.from_numpy(image) for image in images]).permute(0, 3, 1, 2)
        yield Batch(stacked, torch.from_numpy(indices % CLASSES), torch.from_numpy(indices))


def cross_entropy(wrapped: nn.Module, step: Step) -> dict[str, Tensor]:
    return {"ce": nn.functional.cross_entropy(wrapped(step.images), step.labels)}


def make_job(net: nn.Module | None = None, drop: float = 0.5, **changes: Any) -> Job:
    net = net if net is not None else Net(1, drop)
    scores: Iterator[float] = iter(changes.pop("scores", ()))
    settings = FitSettings(**({"epochs": 4, "batch_size": BATCH, "lr": 0.1} | changes.pop("settings", {})))
    job = Job("toy", net, cross_entropy, lambda: next(scores, 0.5), batches_of, STEPS, settings, seed=7)
    return replace(job, **changes)


def console() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(stream, plain=True), stream


def run(
    job: Job,
    folder: Path,
    on_pass: Callable[[int, dict[str, float]], None] = lambda _pass, _metrics: None,
    *,
    fingerprint: str = "one",
    precision: Any = "fp32",
) -> Fitted:
    checkpoint = Checkpoint(folder / "checkpoint.pt", fingerprint)
    return fit(job, make_fabric("cpu", precision), checkpoint, console()[0], on_pass)
