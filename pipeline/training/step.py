"""One training step, from a batch of pixels to updated weights; teachers and students are all trained by it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pipeline.models.outputs import NetworkOutput
from pipeline.randomness import Samples
from pipeline.training.device import gradients_kept
from pipeline.training.meters import EpochMeters
from pipeline.training.non_finite import NormStatistics, average_gradients, finite_everywhere
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
        pieces: into which each batch is divided, one after the other, so that it fits into the device's memory.
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
    pieces: int = 1

    def names(self, indices: Tensor) -> list[str]:
        """How people know some training images; `indices` int64 `[n]` are positions in the training split."""
        return self.loader.names(indices)

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

    With `accumulate`, batches add up their gradients, and the last one of a group updates the weights by the mean. A
    batch that is divided into pieces adds up theirs in the same way. With `on_nan: skip_batch`, a piece whose loss is
    not finite in any process is left out in all of them; the mean is over the others.

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

    Raises:
        GateError: more batches than `max_skipped_batches` were left out.
    """
    settings, steps = training.settings, training.steps_per_epoch
    ramp = warmup_ramp(epoch + (step + 1) / steps, training.warmup_epochs)
    update, place = divmod(step, settings.batches_per_update)
    group_size = min(settings.batches_per_update, steps - (step - place))  # the last group may be short
    updates_now = place + 1 == group_size
    if place == 0:
        with meters.part("backward"):
            optimizer.zero_grad(set_to_none=True)

    pieces, images = pieces_of(batch, training.pieces), len(batch.labels)
    counted: list[tuple[int, dict[str, Tensor]]] = []
    is_synchronised = has_gradient = False
    before = NormStatistics(training.task) if settings.skips_batches else None
    for number, piece in enumerate(pieces):
        samples, pixels, labels, guidance = step_inputs(training, fabric, piece, epoch, meters)
        statistics = before if before is None or number == 0 else NormStatistics(training.task)
        ends = updates_now and number + 1 == len(pieces)
        with gradients_kept(fabric, model, enabled=not ends):
            with meters.part("forward"):
                losses: dict[str, Tensor] = model(pixels, labels, guidance, ramp, samples)
                total = torch.stack(list(losses.values())).sum()
            has_gradient |= total.requires_grad
            if statistics is not None and not finite_everywhere(total):
                statistics.restore()
                meters.skip(losses, len(labels), step, piece.indices)
                continue
            counted.append((len(labels), {name: loss.detach() for name, loss in losses.items()}))
            if total.requires_grad:  # else the losses do not reach the head, which is trained alone in this epoch
                with meters.part("backward"):
                    parts = group_size * images / len(labels)
                    fabric.backward(total if parts == 1 else total / parts)
                is_synchronised |= ends

    skipped = meters.skipped_images(step - place)
    if updates_now and has_gradient and skipped < group_size * images:
        if skipped:
            with meters.part("backward"):
                _make_up(optimizer, 1 - skipped / (group_size * images), is_synchronised)
        if before is not None and not _has_finite_gradients(fabric, optimizer):
            before.restore()
            meters.skip(losses, images, step, batch.indices, "gradient")
            return
        if settings.gradient_clip is not None:
            with meters.part("backward"):
                fabric.clip_gradients(model, optimizer, max_norm=settings.gradient_clip)
        with meters.part("optimizer"):
            updates = training.updates_per_epoch
            rate = learning_rate(settings, epoch * updates + update, updates)
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
            optimizer.step()
    if updates_now and average is not None and skipped < group_size * images:
        with meters.part("optimizer"):
            average.update()

    if counted:
        meters.update(_mean(counted), sum(size for size, _ in counted), step, batch.indices)


def step_inputs(
    training: Training, fabric: Fabric, batch: "Batch", epoch: int, meters: EpochMeters
) -> tuple[Samples, Tensor, Tensor, NetworkOutput | None]:
    """What the task is called with: the samples, images and labels on the device, and what the teacher says of them.

    Args:
        training, fabric, epoch, meters: as in `train_step`.
        batch: uint8 images, or a piece of such a batch.
    """
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
    return samples, images, labels, guidance


def pieces_of(batch: "Batch", count: int) -> "list[Batch]":
    """A batch in so many pieces of about the same size, fewer where they would be smaller than two images."""
    count = min(count, max(1, len(batch.labels) // 2))
    if count == 1:
        return [batch]
    divided = [(None,) * count if values is None else values.tensor_split(count) for values in batch]
    return [type(batch)(*values) for values in zip(*divided, strict=True)]


def _mean(counted: Sequence[tuple[int, dict[str, Tensor]]]) -> dict[str, Tensor]:
    """The mean of each loss over pieces, by their numbers of images."""
    if len(counted) == 1:
        return counted[0][1]
    images = sum(size for size, _ in counted)
    return {
        name: torch.stack([losses[name] * (size / images) for size, losses in counted]).sum() for name in counted[0][1]
    }


def _trained(optimizer: Any) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _make_up(optimizer: Any, share: float, is_synchronised: bool) -> None:
    """Turn the gradient of a group of which only a share counts into the mean over what counts.

    Args:
        optimizer: of the parameters.
        share: of the images of the group, above 0.
        is_synchronised: whether the last backward pass has exchanged the gradients between processes.
    """
    parameters = _trained(optimizer)
    if not is_synchronised:
        average_gradients(parameters)
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.div_(share)


def _has_finite_gradients(fabric: Fabric, optimizer: Any) -> bool:
    """Whether a step may be made by these gradients; that of scaled losses (fp16) is left out by the scaler itself."""
    if getattr(fabric.strategy.precision, "scaler", None) is not None:
        return True
    gradients = [each.grad for each in _trained(optimizer) if each.grad is not None]
    return finite_everywhere(nn.utils.get_total_norm(gradients))


def images_to_device(images: Tensor, device: torch.device) -> Tensor:
    """uint8 images `[B, 3, S, S]` as float32 in `[0, 1]`, channels last, on a device; features as they are."""
    if images.is_floating_point():
        return images.to(device, non_blocking=True)
    pixels = images.to(device, non_blocking=True).to(torch.float32).div_(255)
    return pixels.contiguous(memory_format=torch.channels_last)


def warmup_ramp(epochs: float, warmup_epochs: int) -> float:
    """The factor of β and γ after so many epochs: linear up to 1 at `warmup_epochs` (line 12)."""
    return 1.0 if warmup_epochs == 0 else min(1.0, epochs / warmup_epochs)
