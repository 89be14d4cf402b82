"""A training step of this pipeline, as the stages put it together."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from benchmarks.training.subjects import LR, MOMENTUM, WEIGHT_DECAY, Subjects
from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.loading import Batch
from pipeline.data.settings import AugmentSettings
from pipeline.distill.build import build_method
from pipeline.distill.settings import DistillSettings
from pipeline.distill.task import DistillationTask
from pipeline.models.deployment.choice import Place
from pipeline.models.deployment.deployed import DeployedClassifier, DeployedTower
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.views.views import Views
from pipeline.tmkd.weighting import make_view_weighting, uniform_weighting
from pipeline.training.device import make_fabric
from pipeline.training.meters import EpochMeters
from pipeline.training.optimizer import make_optimizer
from pipeline.training.preparation import prepared
from pipeline.training.settings import NetworkFitSettings
from pipeline.training.step import Training, train_step

_IMAGES = 50_000
"""Training images that a runtime is decided for: as many as CIFAR has."""

TMKD: dict[str, Any] = {"method": "tmkd", "base": "cat_kd", "contrast": {"weight": 0.5}}
"""TMKD with all its lines: three views, weights by both teachers, feature loss, logit loss and contrast."""


@dataclass(frozen=True)
class _Steps:
    """Stands for a loader where batches are given by hand."""

    steps: int

    def steps_per_epoch(self, batch_size: int) -> int:
        return self.steps


def distill_settings(method: str, **changes: Any) -> DistillSettings:
    """The settings of a method at their defaults, with some changed."""
    return DistillSettings(**((TMKD if method == "tmkd" else {"method": method}) | changes))


def teacher_of(subjects: Subjects, settings: DistillSettings) -> MultiViewTeacher | None:
    """The teacher that a method asks for; None for plain training."""
    if settings.method == "ce":
        return None
    views = Views(settings.possible_views if settings.uses_views else {})
    if len(views) == 1:
        return MultiViewTeacher(deployed_teacher(subjects), views, uniform_weighting, 1.0)
    clip = copy.deepcopy(subjects.clip)  # what is done to make it faster here is done to no other contender
    weighting = make_view_weighting(settings.weighting, subjects.texts(len(views)), 1 / clip.temperature.item())
    temperature = settings.weighting.temperature
    assert isinstance(temperature, float)
    return MultiViewTeacher(deployed_teacher(subjects), views, weighting, temperature, deployed_clip(subjects))


def deployed_teacher(subjects: Subjects) -> DeployedClassifier:
    """The visual teacher in the runtime that a run on a data set of ordinary size decides for."""
    return DeployedClassifier(subjects.teacher(), "auto", _place(subjects, "teacher"))


def deployed_clip(subjects: Subjects) -> DeployedTower:
    """CLIP's image tower in the runtime that a run on a data set of ordinary size decides for."""
    return DeployedTower(copy.deepcopy(subjects.clip), "auto", _place(subjects, "clip"))


def _place(subjects: Subjects, name: str) -> Place:
    """Decisions are kept for the process, so that all contenders share them."""
    key = f"{name}-{subjects.pair.teacher}-{subjects.pair.clip}-{subjects.pair.pixels}".replace(":", "-")
    return Place(
        Path(_decisions().name), key, torch.device("cpu"), False, lambda: subjects.images[0][:8].float() / 255, _IMAGES
    )


@cache
def _decisions() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


def training_of(
    subjects: Subjects, settings: DistillSettings, teacher: Any, loader: Any = None, **schedule: Any
) -> Training:
    """The training of a student, as the stage `distill` makes it."""
    pair, student = subjects.pair, subjects.student()
    anchors = subjects.texts(1)[0] if settings.contrast.weight and settings.method == "tmkd" else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = build_method(settings, student.shape, None if teacher is None else subjects.teacher().shape, anchors)
    fit = {"epochs": 1, "schedule": {"kind": "constant"}} | schedule
    return Training(
        name="student",
        task=DistillationTask(student, method),
        loader=_Steps(pair.steps) if loader is None else loader,  # type: ignore[arg-type]
        augmentation=Augmentation(
            AugmentSettings(crop="shift" if pair.pixels < 64 else "resized"), Geometry(pair.pixels, pair.pixels), 0
        ),
        settings=NetworkFitSettings(
            batch_size=pair.batch, optimizer="sgd", lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, **fit
        ),
        seed=0,
        teacher=teacher,
    )


def steps(subjects: Subjects, method: str, **changes: Any) -> Callable[[], None]:
    """A piece of work: the steps of all batches under a method."""
    settings = distill_settings(method, **changes)
    return stepping(subjects, training_of(subjects, settings, teacher_of(subjects, settings)))


def stepping(subjects: Subjects, training: Training) -> Callable[[], None]:
    """A piece of work: the steps of all batches in a training."""
    fabric = make_fabric("cpu", "fp32")
    task = prepared(training.task, fabric.device)
    model, optimizer = fabric.setup(task, make_optimizer(task, training.settings))
    model.train()

    def work() -> dict[str, float]:
        meters = EpochMeters("student", 0)
        for step, batch in enumerate(batches(subjects)):
            train_step(training, fabric, model, optimizer, batch, 0, step, meters)
        return meters.losses()

    return work  # type: ignore[return-value]


def batches(subjects: Subjects) -> list[Batch]:
    """The batches as the loader gives them: uint8, channels last in memory."""
    found, start = [], 0
    for images, labels in zip(subjects.images, subjects.labels, strict=True):
        indices: Tensor = torch.arange(start, start + len(labels))
        found.append(Batch(images.contiguous(memory_format=torch.channels_last), labels, indices))
        start += len(labels)
    return found
