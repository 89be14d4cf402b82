"""The price of each operation on this machine, measured in seconds of trial with the recipe's own networks."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exporters.core.wording import count_of
from pipeline.costs.counts import Counts
from pipeline.costs.flops import NetworkSize, measure_size
from pipeline.costs.networks import CachedRow, Networks
from pipeline.costs.seconds import Seconds
from pipeline.costs.trainings import Trainings
from pipeline.data.loading import Batch
from pipeline.recipe.schema.recipe import Recipe
from pipeline.tmkd.cache_files import ArrayFile
from pipeline.training.device import computed_precision, make_fabric
from pipeline.training.meters import EpochMeters
from pipeline.training.optimizer import make_optimizer
from pipeline.training.preparation import prepared
from pipeline.training.step import Training, images_to_device, train_step

LONGEST = 1.2
"""Seconds that a single operation is tried for, at least two trials apart."""
MOST_FLOPS = 4e10
"""Of one trial on the CPU; larger batches are tried in part, since they cost in proportion."""
_TEXTS = 64
FIXED = {
    "checks": 3.0, "stage": 0.25, "teachers": 0.25, "comparison": 0.5, "export": 1.7, "variant": 40.0, "bundle": 1.2,
}  # fmt: skip
"""Processor seconds of what no trial of a second tells, on one core of 2024, for a small student. `checks`: building
all networks before the first training, a step of each, a trial export; `stage`: its fingerprint and the hashes of its
files; `teachers`: reading them and what they run in; `comparison`: loading what compares students; `export`: with its
audit; `variant`: with calibration and search; `bundle`: packing, measuring and verifying."""


@dataclass(frozen=True)
class Prices:
    """What a machine asks.

    Attributes:
        prices: operation → seconds of one.
        sizes: network → its size.
        device: in words.
        cache_row: bytes of an image in the teacher cache, all views together.
        seen_row: bytes of a whole image that CLIP looks at once, all views together; 0 where it looks at crops.
        took: seconds that finding out took.
        candidates: names of those in a race that the networks allow; empty without a race.
    """

    prices: dict[str, Seconds]
    sizes: dict[str, NetworkSize]
    device: str
    cache_row: int = 0
    took: float = 0.0
    seen_row: int = 0
    notes: tuple[str, ...] = field(default=())
    candidates: tuple[str, ...] = ()


def repeated(work: Callable[[], object], device: torch.device, longest: float | None = None) -> Seconds:
    """The median cost of a piece of work, after one that does not count.

    Args:
        work: may leave kernels running on a GPU; they are waited for.
        device: where.
        longest: seconds after which no further trial begins, by default `LONGEST`; there are two to nine.
    """
    longest = LONGEST if longest is None else longest

    def once() -> Seconds:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return Seconds(time.perf_counter() - wall, time.process_time() - cpu)

    once()
    found, started = [once(), once()], time.perf_counter()
    while len(found) < 9 and time.perf_counter() - started < longest:
        found.append(once())
    return Seconds(
        float(np.median([each.wall for each in found])),
        float(np.median([each.cpu for each in found])),
    )


def probe_networks(recipe: Recipe, counts: Counts, classes: Sequence[str], longest: float | None = None) -> Prices:
    """Try each network of a recipe on noise; random numbers of PyTorch are as before afterwards.

    Args:
        recipe: the recipe.
        counts: of its images.
        classes: the data set's names.
        longest: seconds for each operation, by default `LONGEST`; 0: two trials of each, on smaller batches.

    Returns:
        Prices of all operations but those of loading.
    """
    with torch.random.fork_rng(devices=[]):
        return _Trials(recipe, counts, classes, LONGEST if longest is None else longest).all()


class _Trials:
    def __init__(self, recipe: Recipe, counts: Counts, classes: Sequence[str], longest: float) -> None:
        self.recipe, self.counts, self.longest = recipe, counts, longest
        self.most_flops = MOST_FLOPS if longest else MOST_FLOPS / 8
        self.fabric = make_fabric(recipe.device, recipe.train.precision)
        self.device = self.fabric.device
        mixed = not computed_precision(self.fabric).startswith("32-true")
        self.networks = Networks(recipe, classes, counts.train, self.device, mixed)
        self.trainings = Trainings(self.networks)
        self.prices: dict[str, Seconds] = {}
        self.sizes: dict[str, NetworkSize] = {}
        self.started = time.perf_counter()

    def all(self) -> Prices:
        """Everything that the recipe has a use of."""
        self._student()
        row = 0
        if self.networks.teacher is not None:
            self._teacher()
            row = self._look()
        if self.networks.clip is not None:
            self._clip()
        self.prices |= {name: Seconds(value, value) for name, value in FIXED.items()}
        described = str(self.device) if self.device.type != "cuda" else torch.cuda.get_device_name(self.device)
        if self.device.type == "cpu":
            described = f"cpu, {count_of(torch.get_num_threads(), 'thread')}"
        took, seen = time.perf_counter() - self.started, self.networks.seen_row
        racing = tuple(each.name for each in self.networks.candidates)
        return Prices(self.prices, self.sizes, described, row, took, seen, candidates=racing)

    def _repeated(self, work: Callable[[], object]) -> Seconds:
        return repeated(work, self.device, self.longest)

    def _images(self, wanted: int, flops: float) -> Tensor:
        """A batch of noise, uint8: no larger than asked for, and on a CPU than takes a second or so."""
        most = wanted if self.device.type == "cuda" else max(2, int(self.most_flops / max(flops, 1.0)))
        size = self.recipe.data.image_size
        noise = torch.randint(0, 256, (min(wanted, most), 3, size, size), dtype=torch.uint8)
        return noise.contiguous(memory_format=torch.channels_last)

    def _floats(self, wanted: int, flops: float) -> Tensor:
        return images_to_device(self._images(wanted, flops), self.device)

    def _passes(self, name: str, function: Callable[[Tensor], object], flops: float, batch: int = 256) -> None:
        """The price of an image through a network without gradient."""
        images = self._floats(batch, flops)

        def work() -> None:
            with torch.no_grad(), self.fabric.autocast():
                function(images)

        self.prices[name] = self._repeated(work) * (1 / len(images))

    def _trains(self, name: str, training: Training, flops: float) -> None:
        """The price of an image in a training step; of the optimizer's step, the image's part of a whole batch."""
        settings = training.settings
        task = prepared(training.task, self.device)
        model, optimizer = self.fabric.setup(task, make_optimizer(task, settings))
        model.train()
        images = self._images(min(settings.batch_size, self.counts.train), flops)
        labels = torch.arange(len(images)) % self.counts.classes
        batch = Batch(images, labels, torch.arange(len(images)))
        meters = EpochMeters("probe", 0)
        step = iter(range(10**9))

        def work() -> None:
            # A step far along, where losses are balanced as they mostly are.
            train_step(training, self.fabric, model, optimizer, batch, 0, next(step), meters)

        whole = self._repeated(work)
        if len(images) < settings.batch_size:
            update = repeated(optimizer.step, self.device, longest=self.longest / 4)
            share = len(images) / settings.batch_size
            whole = Seconds(whole.wall - update.wall * (1 - share), whole.cpu - update.cpu * (1 - share))
        self.prices[name] = whole * (1 / len(images))

    def _student(self) -> None:
        student = self.networks.student.to(self.device)
        size = measure_size(student, self._floats(2, 1), lambda images: student(images).logits)
        self.sizes["student"] = size
        self._trains("plain", self.trainings.of("plain"), size.training)
        self._passes("student", lambda images: student(images).logits, size.forward)

    def _teacher(self) -> None:
        assert self.networks.visual is not None
        visual = self.networks.visual.to(self.device)
        self.sizes["teacher"] = size = measure_size(visual, self._floats(2, 1), lambda images: visual(images).logits)
        visual.eval().requires_grad_(False)
        self._passes("teacher", lambda images: visual(images).logits, size.forward)
        if self.recipe.teacher.visual.fit is not None:
            self._trains("teacher fit", self.trainings.of("teacher fit"), size.training)

    def _look(self) -> int:
        """Looks, and the student's steps with what was seen; gives the bytes of a cached image."""
        teacher = self.networks.teacher
        assert teacher is not None
        forward = len(teacher.views) * self.sizes["teacher"].forward
        if teacher.has_image_tower and self.recipe.teacher.text.tower is None:
            forward += len(teacher.views) * self._clip_size().forward
        self._passes("look", teacher.look, forward, self.recipe.train.batch_size)
        with torch.no_grad():
            seen = teacher.look(self._floats(2, 1))
        row = self.networks.cached(seen)
        self._disk(row, len(teacher.views))
        for name in self.networks.taught:
            self._trains(name, self.trainings.of(name), self.sizes["student"].training)
        return row.bytes * len(teacher.views)

    def _disk(self, row: CachedRow, views: int) -> None:
        """Writing an image's outputs in all views, with its part of bringing files to the disk; and reading them."""
        images, cpu = 256, torch.device("cpu")
        width = max(1, row.bytes // row.files)
        rows, order = np.zeros((images, width), np.uint8), np.random.default_rng(0).permutation(images)
        with TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{number}.npy" for number in range(row.files * views)]
            files = [ArrayFile(path, (1, images, width), np.uint8) for path in paths]

            def write() -> None:
                for file in files:
                    file.write(0, order, rows)

            def flush() -> None:
                for file in files:
                    file.flush()

            def read() -> None:
                for file in files:
                    file.read(0, order)

            # What an epoch writes is brought to the disk together; a few rows of it take as long as many.
            flushed = repeated(flush, cpu, 0.0) * (1 / max(images, self.counts.train))
            self.prices["write"] = repeated(write, cpu, self.longest / 4) * (1 / images) + flushed
            self.prices["read"] = repeated(read, cpu, self.longest / 4) * (1 / images)

    def _clip_size(self) -> NetworkSize:
        if "clip" not in self.sizes:
            clip: Any = self.networks.clip
            clip = clip.to(self.device)
            self.sizes["clip"] = measure_size(clip, self._floats(2, 1), clip.encode_image)
            clip.eval().requires_grad_(False)
        return self.sizes["clip"]

    def _clip(self) -> None:
        clip: Any = self.networks.clip
        clip = clip.to(self.device)
        forward = self._clip_size().forward
        self._passes("clip", clip.encode_image, forward)
        self._passes("views", self.networks.views, 1.0, self.recipe.train.batch_size)
        self.prices["features"] = self.prices["clip"]
        if self.recipe.teacher.text.has_text_tower:
            texts = [f"a photo of number {number}" for number in range(_TEXTS)]
            with torch.no_grad():
                self.prices["prompts"] = self._repeated(lambda: clip.encode_text(texts)) * (1 / _TEXTS)
        if self.recipe.teacher.text.weights == "fit":
            training = self.trainings.of_text()
            if self.recipe.teacher.text.tower is None:
                self._trains("text fit", training, 3 * forward)
            else:
                self._trains_on_features(training)

    def _trains_on_features(self, training: Training) -> None:
        settings = training.settings
        task = training.task.to(self.device)
        model, optimizer = self.fabric.setup(task, make_optimizer(task, settings))
        model.train()
        count = min(settings.batch_size, self.counts.train)
        features = torch.randn(count, self.networks.possible_views, self.networks.feature_width)
        batch = Batch(features, torch.arange(count) % self.counts.classes, torch.arange(count))
        meters, step = EpochMeters("probe", 0), iter(range(10**9))

        def work() -> None:
            train_step(training, self.fabric, model, optimizer, batch, 0, next(step), meters)

        self.prices["text fit"] = self._repeated(work) * (1 / count)
