"""One training step, from a batch of pixels to updated weights; teachers and students are all trained by it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from pipeline.models.outputs import NetworkOutput
from pipeline.randomness import Samples
from pipeline.training.device import gradients_kept
from pipeline.training.meters import EpochMeters
from pipeline.training.optimizer import learning_rate

if TYPE_CHECKING:
    from pipeline.data.augmentation import Augmentation
    from pipeline.data.feature_batches import FeatureLoader
    from pipeline.data.loading import Batch, Loader
    from pipeline.distill.task import DistillationTask
    from pipeline.tmkd.sampled_views import SampledViews
    from pipeline.tmkd.text_fit import TextFit
    from pipeline.tmkd.tower_fit import TowerFit
    from pipeline.training.averaging import WeightAverage
    from pipeline.training.settings import FitSettings

Teacher = Callable[[Tensor, Tensor, int, Tensor, Tensor | None], NetworkOutput]
"""Images, labels, epoch, sample indices, and the view that each image is shown in (None: rgb) to the teacher's output:
a `MultiViewTeacher`, or a `CachedTeacher`."""


@dataclass(frozen=True)
class Training:
    """Everything that a training follows from.

    Attributes:
        name: in progress lines, in messages, and in the seed of drop-out.
        task: all that is trained, in one module, so that a distributed wrapper sees every parameter. Its `forward`
            takes images, labels, the teacher's output, the warm-up factor and the samples, and gives losses by name;
            its `classifier` gives the function whose accuracy on validation chooses the epoch, its `metrics` what is
            logged of an epoch besides.
        loader: of the training and validation splits; of a `FeatureLoader`, images are features `[B, V, C]`.
        augmentation: of training images.
        settings: epochs, optimizer and schedule.
        seed: of the order of images and of drop-out.
        teacher: what the task learns from; None for a task without a teacher.
        views: the view in which the task sees each image, which is also what the teacher is asked about; None for the
            image itself.
        warmup_epochs: epochs over which the feature loss and the contrast rise to their weights.
    """

    name: str
    task: "DistillationTask | TextFit | TowerFit"
    loader: "Loader | FeatureLoader"
    augmentation: "Augmentation"
    settings: "FitSettings"
    seed: int
    teacher: Teacher | None = None
    views: "SampledViews | None" = None
    warmup_epochs: int = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return self.loader.steps_per_epoch(self.settings.batch_size)

    @property
    def updates_per_epoch(self) -> int:
        """Steps of the optimizer in an epoch: one for `accumulate` batches, and one for those left over at its end."""
        return -(-self.steps_per_epoch // self.settings.batches_per_update)


def train_step(
    training: Training,
    fabric: Fabric,
    model: Any,
    optimizer: Any,
    batch: "Batch",
    epoch: int,
    step: int,
    meters: EpochMeters,
    average: "WeightAverage | None" = None,
) -> None:
    """Update the weights by one batch, and the meters by its losses.

    With `accumulate`, batches add up their gradients, and the last one of a group updates the weights by the mean.

    Args:
        training: what is trained and how.
        fabric: device and precision.
        model: `training.task` as wrapped by Fabric, in train mode.
        optimizer: as wrapped by Fabric.
        batch: uint8 images. The loader has augmented them already (`pipeline.data.augmentation`), as (seed, epoch,
            index) says, and on the device, where that is not the CPU.
        epoch: number of the epoch, from 0.
        step: number of the batch in the epoch, from 0.
        meters: of this epoch.
        average: of the weights, where there is one; follows them.
    """
    settings, steps = training.settings, training.steps_per_epoch
    samples = Samples(batch.indices, epoch, batch.partners, batch.shares)
    with meters.part("data"):
        images = images_to_device(batch.images, fabric.device)
        labels = batch.labels.to(fabric.device, non_blocking=True)

    shown = training.views.sample(samples) if training.views is not None else None
    guidance = None
    if training.teacher is not None:
        with meters.part("teacher"), fabric.autocast():
            guidance = training.teacher(images, labels, epoch, batch.indices, shown)
    if training.views is not None and shown is not None:
        with meters.part("views"):
            images = training.views(images, shown).contiguous(memory_format=torch.channels_last)

    ramp = warmup_ramp(epoch + (step + 1) / steps, training.warmup_epochs)
    update, place = divmod(step, settings.batches_per_update)
    group_size = min(settings.batches_per_update, steps - (step - place))  # the last group may be short
    updates_now = place + 1 == group_size
    with gradients_kept(fabric, model, enabled=not updates_now):
        with meters.part("forward"):
            losses: dict[str, Tensor] = model(images, labels, guidance, ramp, samples)
            total = torch.stack(list(losses.values())).sum()
        if total.requires_grad:  # else the losses do not reach the head, which is trained alone in this epoch
            with meters.part("backward"):
                if place == 0:
                    optimizer.zero_grad(set_to_none=True)
                fabric.backward(total if group_size == 1 else total / group_size)

    if updates_now and total.requires_grad:
        if settings.gradient_clip is not None:
            with meters.part("backward"):
                fabric.clip_gradients(model, optimizer, max_norm=settings.gradient_clip)
        with meters.part("optimizer"):
            updates = training.updates_per_epoch
            rate = learning_rate(settings, epoch * updates + update, updates)
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
            optimizer.step()
    if updates_now and average is not None:
        with meters.part("optimizer"):
            average.update()

    meters.update(losses, images=len(labels))


def images_to_device(images: Tensor, device: torch.device) -> Tensor:
    """uint8 images `[B, 3, S, S]` as float32 in `[0, 1]`, channels last, on a device; features as they are."""
    if images.is_floating_point():
        return images.to(device, non_blocking=True)
    pixels = images.to(device, non_blocking=True).to(torch.float32).div_(255)
    return pixels.contiguous(memory_format=torch.channels_last)


def warmup_ramp(epochs: float, warmup_epochs: int) -> float:
    """The factor of β and γ after so many epochs: linear up to 1 at `warmup_epochs` (line 12)."""
    return 1.0 if warmup_epochs == 0 else min(1.0, epochs / warmup_epochs)
