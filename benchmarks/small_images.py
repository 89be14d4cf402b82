"""Small images that are kept in memory: batches against one image at a time, and the loader's share of an epoch.

    OMP_NUM_THREADS=1 python -m benchmarks.small_images

One image at a time is how Pillow and numpy do it: a random generator for each draw, a crop, a mirroring, and a stack of
what came out. The loader gives the same pixels. Both are measured in CPU seconds, in alternating rounds, and the ratio
is the median over rounds. The share is that of the loader's CPU seconds in the epochs of plain training by a recipe,
validation with it; plain training is the least that an epoch does, so that no other method has a larger share.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image, ImageEnhance

from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.indexing import build_index
from pipeline.data.loading import Loader
from pipeline.data.settings import AugmentSettings, DataSettings
from pipeline.distill.build import build_method
from pipeline.distill.task import DistillationTask
from pipeline.randomness import generator
from pipeline.recipe.reading.load import load_recipe
from pipeline.runner.environment import describe_environment
from pipeline.stages.shared.networks import build_student, image_geometry
from pipeline.training.device import make_fabric
from pipeline.training.meters import EpochMeters, accuracy
from pipeline.training.optimizer import make_optimizer
from pipeline.training.step import Training, images_to_device, train_step

SIZE, PADDING, BATCH = 32, 4, 128
KINDS = {"shift and mirror": 0.0, "with jitter": 0.4}
ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)

T = TypeVar("T")


def draw_noise(folder: Path, count: int) -> Path:
    """PNG files of noise in two class folders."""
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / ("left" if number % 2 else "right") / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(path)
    return folder


def one_at_a_time(images: Sequence[Image.Image], indices: Sequence[int], jitter: float, epoch: int) -> torch.Tensor:
    """The squares `[B, 3, S, S]` of images, by Pillow."""
    made = []
    for image, index in zip(images, indices, strict=True):
        random = generator(0, "crop", epoch, index)
        left, top = (int(random.integers(-PADDING, PADDING + 1)) for _ in range(2))
        square = image.crop((left, top, left + SIZE, top + SIZE))
        if generator(0, "flip", epoch, index).random() < 0.5:
            square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if jitter:
            random = generator(0, "jitter", epoch, index)
            factors = random.uniform(1 - jitter, 1 + jitter, size=3)
            for which in random.permutation(3).tolist():
                square = ENHANCERS[which](square).enhance(float(factors[which]))
        made.append(np.asarray(square))
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2)


def measure_speed(count: int, rounds: int) -> dict[str, Any]:
    """CPU microseconds an image of both ways, and how many times as fast batches are; for each of `KINDS`."""
    with tempfile.TemporaryDirectory() as folder:
        data = DataSettings(
            dataset="folder", root=str(draw_noise(Path(folder), count)), image_size=SIZE, validation=0.05, test=0.05
        )
        index = build_index(data)
        with Loader(index, index.root, workers=0) as loader:
            return {kind: _speed(loader, jitter, rounds) for kind, jitter in KINDS.items()}


def _speed(loader: Loader, jitter: float, rounds: int) -> dict[str, float]:
    settings = AugmentSettings(crop="shift", padding=PADDING, jitter=jitter)
    augmentation = Augmentation(settings, Geometry(SIZE, SIZE), seed=0)
    split = loader.index.splits["train"]
    pictures = [Image.open(loader.index.root / path).convert("RGB") for path in split.paths]

    def batches(epoch: int) -> None:
        for _ in loader.training_batches(augmentation, BATCH, 0, epoch):
            pass

    def alone(epoch: int) -> None:
        for start in range(0, len(pictures), BATCH):
            indices = range(start, min(start + BATCH, len(pictures)))
            one_at_a_time([pictures[i] for i in indices], indices, jitter, epoch)

    _same_pixels(loader, augmentation, pictures, jitter)  # and the first epoch, which decodes
    spent = [[_cpu_seconds(way, epoch) / len(pictures) for way in (alone, batches)] for epoch in range(1, rounds + 1)]
    return {
        "one_at_a_time_us": round(1e6 * statistics.median(each[0] for each in spent), 2),
        "batches_us": round(1e6 * statistics.median(each[1] for each in spent), 2),
        "ratio": round(statistics.median(each[0] / each[1] for each in spent), 1),
    }


def _same_pixels(loader: Loader, augmentation: Augmentation, pictures: Sequence[Image.Image], jitter: float) -> None:
    for batch in loader.training_batches(augmentation, BATCH, 0, 0):
        indices = batch.indices.tolist()
        if not torch.equal(batch.images, one_at_a_time([pictures[i] for i in indices], indices, jitter, 0)):
            raise RuntimeError("the loader gives other pixels than Pillow")


def _cpu_seconds(work: Callable[[int], None], epoch: int) -> float:
    started = time.process_time()
    work(epoch)
    return time.process_time() - started


class _Share:
    """CPU seconds that an iterator of batches takes."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def of(self, batches: Iterable[T]) -> Iterator[T]:
        iterator = iter(batches)
        while True:
            started = time.process_time()
            batch = next(iterator, None)
            self.seconds += time.process_time() - started
            if batch is None:
                return
            yield batch


def measure_share(name: str, epochs: int) -> dict[str, Any]:
    """The loader's share of the CPU seconds of plain training by a recipe.

    Args:
        name: of the recipe.
        epochs: how many. The share of the first, which decodes, stands apart; that of the later ones is their median.
    """
    recipe = load_recipe(name, ["distill.method=ce", f"train.epochs={max(2, epochs)}", "device=cpu"]).recipe
    index = build_index(recipe.data)
    student = build_student(recipe, len(index.classes))
    task = DistillationTask(student.tapped, build_method(recipe.distill, student.tapped.shape, None, None))
    augmentation = Augmentation(recipe.data.augment, image_geometry(recipe), recipe.seed)
    fabric = make_fabric("cpu", "fp32")
    with Loader(index, index.root) as loader:
        training = Training("student", task, loader, augmentation, recipe.train, recipe.seed)
        task.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model, optimizer = fabric.setup(task, make_optimizer(task, recipe.train))
        shares = [_epoch_share(training, fabric, model, optimizer, epoch) for epoch in range(max(2, epochs))]
    return {
        "recipe": name,
        "images": len(index.splits["train"]),
        "image_size": recipe.data.image_size,
        "first_epoch": round(shares[0], 4),
        "later_epochs": round(statistics.median(shares[1:]), 4),
    }


def _epoch_share(training: Training, fabric: Any, model: Any, optimizer: Any, epoch: int) -> float:
    assert isinstance(training.loader, Loader)
    share, meters, settings = _Share(), EpochMeters("student", epoch), training.settings
    started = time.process_time()
    model.train()
    batches = training.loader.training_batches(
        training.augmentation, settings.batch_size, training.seed, epoch, drop_last=True
    )
    for step, batch in enumerate(share.of(batches)):
        train_step(training, fabric, model, optimizer, batch, epoch, step, meters)
    model.eval()
    validation = share.of(training.loader.evaluation_batches("validation", training.augmentation.geometry))
    with torch.no_grad():
        accuracy(
            training.task.classifier(), ((images_to_device(b.images, fabric.device), b.labels) for b in validation)
        )
    return share.seconds / (time.process_time() - started)


def to_markdown(measured: dict[str, Any]) -> str:
    """The measurement as a table and a sentence."""
    share = measured["share"]
    rows = [
        f"| {kind} | {row['one_at_a_time_us']} | {row['batches_us']} | {row['ratio']} |"
        for kind, row in measured["speed"].items()
    ]
    return "\n".join(
        [
            f"Images of {SIZE} px kept in memory: CPU microseconds an image, {measured['threads']} threads.",
            "",
            "| | one at a time | batches | times as fast |",
            "|---|---|---|---|",
            *rows,
            "",
            f"Loader in plain training by {share['recipe']} ({share['images']} images of {share['image_size']} px):"
            f" {100 * share['first_epoch']:.1f} % of the CPU seconds of the first epoch, which decodes, and"
            f" {100 * share['later_epochs']:.1f} % of a later one.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; Markdown, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--json", action="store_true", help="JSON instead of Markdown")
    chosen = parser.parse_args(arguments)
    measured = {
        "machine": describe_environment(),
        "threads": torch.get_num_threads(),
        "speed": measure_speed(chosen.images, chosen.rounds),
        "share": measure_share(chosen.recipe, chosen.epochs),
    }
    sys.stdout.write(f"{json.dumps(measured, indent=2) if chosen.json else to_markdown(measured)}\n")


if __name__ == "__main__":
    main()
