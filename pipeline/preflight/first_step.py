"""A forward pass in train mode with as few images as the smallest batch has: what is refused only there is found here.

Above all batch norms that would see a single value of each channel: one image whose map has shrunk to one pixel.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from exporters.core.errors import TmkdError, UsageError
from pipeline.distill.registry import METHODS, needs_stages
from pipeline.distill.settings import DistillSettings
from pipeline.distributed.ranks import this_rank
from pipeline.preflight.base import Report, Subject
from pipeline.preflight.batches import more_images, single_image_warning
from pipeline.preflight.networks import make_methods

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.distill.methods.base import Method
    from pipeline.training.settings import FitSettings

_ONE_VALUE = "more than 1 value per channel"  # torch's words
_MOST_IMAGES = 2


def check_student(subject: Subject, report: Report) -> None:
    """Pass a batch through the student and the losses of the method, under `auto` through those of each candidate.

    Raises:
        UsageError: such a batch cannot be trained on.
    """
    for distill, method in make_methods(subject):
        _check_method(subject, report, distill, method)


def _check_method(subject: Subject, report: Report, distill: DistillSettings, method: "Method") -> None:
    from pipeline.distill.task import DistillationTask
    from pipeline.randomness import Samples

    recipe, student = subject.recipe, subject.student().tapped
    teacher = subject.teacher() if METHODS[distill.method].needs_teacher else None
    stages = needs_stages(distill.method, distill.base)

    def step(images: "Tensor", labels: "Tensor", indices: "Tensor") -> None:
        tapped = [network for network in (student, teacher) if network is not None]
        for network in tapped:
            network.tap_stages = stages
        try:
            guidance = None if teacher is None else teacher(images)
            with _training(student, method):
                DistillationTask(student, method)(images, labels, guidance, 1.0, Samples(indices, 0))
        finally:
            for network in tapped:
                network.tap_stages = False

    _try(subject, report, "train", f"student {recipe.student.model}", student, recipe.train, step)


def check_plain_student(subject: Subject, report: Report) -> None:
    """Pass a batch through the student and cross-entropy; less than `check_student`, which it leaves the rest to.

    Raises:
        UsageError: such a batch cannot be trained on.
    """
    if subject.stages & {"race", "distill"}:
        return
    recipe, student = subject.recipe, subject.student().tapped

    def step(images: "Tensor", _labels: "Tensor", _indices: "Tensor") -> None:
        with _training(student):
            student(images)

    _try(subject, report, "train", f"student {recipe.student.model}", student, recipe.train, step)


def check_teacher(subject: Subject, report: Report) -> None:
    """Pass a batch through the visual teacher, where it is fitted.

    Raises:
        UsageError: such a batch cannot be trained on.
    """
    visual = subject.recipe.teacher.visual
    if visual.fit is None:
        return
    teacher = subject.teacher()

    def step(images: "Tensor", _labels: "Tensor", _indices: "Tensor") -> None:
        with _training(teacher):
            teacher(images)

    _try(subject, report, "teacher.visual.fit", f"visual teacher {visual.model}", teacher, visual.fit, step)


def check_text(subject: Subject, report: Report) -> None:
    """Pass a batch through CLIP's image tower, where it is fitted; another network as its tower is not.

    Raises:
        UsageError: such a batch cannot be trained on.
    """
    text = subject.recipe.teacher.text
    if text.weights != "fit" or text.tower is not None:
        return
    clip = subject.clip()

    def step(images: "Tensor", _labels: "Tensor", _indices: "Tensor") -> None:
        with _training(clip):
            clip.encode_image(images)

    _try(subject, report, "teacher.text.fit", f"text teacher {text.model}", clip, text.fit, step)


def _try(
    subject: Subject,
    report: Report,
    section: str,
    what: str,
    network: "nn.Module",
    settings: "FitSettings",
    step: "Callable[[Tensor, Tensor, Tensor], None]",
) -> None:
    """Run a step on random images, as many as the smallest batch has, two at most; warn of batch norms on one image."""
    import torch

    labels = subject.labels
    # An epoch leaves its last batch out where that is not full, unless it is the only one.
    smallest = max(1, min(settings.batch_size, len(labels)) // this_rank().count)
    count, side = min(smallest, _MOST_IMAGES), subject.recipe.data.image_size
    random = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, side, side, generator=random)
    remedy = (
        more_images(section) if settings.batch_size == 1 else "The training split has a single image; more are needed."
    )
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            step(images, torch.from_numpy(labels[:count].copy()), torch.arange(count))
    except TmkdError:
        raise
    except Exception as error:  # networks of three libraries; each refuses in its own way
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if _ONE_VALUE in reason:
            raise UsageError(
                f"{section}.batch_size: the {what} has batch norms that see one value of each channel where a batch is"
                " one image, and a single value has no spread to divide by",
                remedy=remedy,
            ) from error
        raise UsageError(
            f"{section}: the {what} cannot be trained on {count} images of {side} × {side} ({reason})",
            remedy="Change the network, its arguments, or data.image_size.",
        ) from error
    if smallest == 1 and _has_batch_norm(network):
        report.warn(single_image_warning(section, what, remedy))


def _has_batch_norm(network: "nn.Module") -> bool:
    from torch.nn.modules.batchnorm import _BatchNorm

    return any(isinstance(module, _BatchNorm) for module in network.modules())


@contextmanager
def _training(*networks: "nn.Module") -> "Iterator[None]":
    """Train mode; afterwards each module's mode and each buffer, such as a running mean, are as they were."""
    modes = {module: module.training for network in networks for module in network.modules()}
    buffers = [(buffer, buffer.clone()) for network in networks for buffer in network.buffers()]
    try:
        for network in networks:
            network.train()
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for buffer, before in buffers:
            buffer.copy_(before)
