"""Running statistics of batch norms that fit the weights which they are validated and shipped with.

In training a batch norm takes mean and variance from its batch (Ioffe and Szegedy 2015, arXiv 1502.03167), and the
running ones, which evaluation uses, only follow: with momentum m, in PyTorch's convention, they keep `(1 - m)^n` of
their first values after n steps. With .1, which most networks have, 1 % is left after 44 steps; with .01, as in
torchvision's MobileNetV3, after 459, and a training of 300 ends with a network that answers by chance in evaluation.

Those of pretrained weights are a better beginning than 0 and 1: fine-tuned for some hundred steps, networks were more
accurate with .01 than with .1 (docs/recipe/train.md), so that what they have is left.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from pipeline.distributed.collectives import summed, this_part
from pipeline.training.meters import EpochMeters
from pipeline.training.non_finite import NormStatistics
from pipeline.training.step import Training, pieces_of, step_inputs

if TYPE_CHECKING:
    from lightning_fabric import Fabric

KEPT = 0.01
"""Share of their first values that running statistics may still have after the steps of `least_momentum`."""
USUAL_MOMENTUM = 0.1
"""PyTorch's default."""

_CHECKED = 8
"""Training batches that the statistics are checked on after the last epoch, at most."""
_CHECKED_SHARE = 0.015
"""Of the steps of a training, one batch at least: each is looked at twice, at two thirds of the price of a step."""
_FAR = 0.1
"""Difference in accuracy from which on the statistics are said not to fit."""


def least_momentum(steps_per_epoch: int, epochs: int) -> float:
    """The momentum at which running statistics keep `KEPT` of their first values after an epoch.

    So much is asked for because each epoch is validated. Where an epoch has fewer than 44 steps it is
    `USUAL_MOMENTUM`, unless the whole training has fewer: then that at which `KEPT` is left at its end.

    Args:
        steps_per_epoch: batches in an epoch, 1 or more.
        epochs: of the schedule, 1 or more.

    Returns:
        In (0, 1).
    """
    return max(_forgetting(steps_per_epoch * epochs), min(_forgetting(steps_per_epoch), USUAL_MOMENTUM))


def _forgetting(steps: int) -> float:
    """The momentum that leaves `KEPT` of the first values after so many steps: `(1 - m)^steps = KEPT`."""
    return -math.expm1(math.log(KEPT) / steps)


def chosen_momenta(training: Training) -> dict[str, tuple[float, float]]:
    """The batch norms whose momentum is another in this training: name → its own, and the one that it gets.

    `auto` is for norms that begin with mean 0 and variance 1, and raises their momentum to `least_momentum`. Norms
    without running statistics, and those that average over all steps (`momentum=None`), stay as they are.
    """
    asked = training.settings.norm_momentum
    if asked == "network":
        return {}
    least = least_momentum(training.steps_per_epoch, training.settings.epochs)
    found = {}
    for name, norm in _norms(training.task).items():
        own = norm.momentum
        assert own is not None
        momentum = asked if asked != "auto" else max(own, least) if _is_untrained(norm) else own
        if own != momentum:
            found[name] = (own, momentum)
    return found


def _norms(task: nn.Module) -> dict[str, _NormBase]:
    return {
        name: module
        for name, module in task.named_modules()
        if isinstance(module, _NormBase) and module.running_mean is not None and module.momentum is not None
    }


def _is_untrained(norm: _NormBase) -> bool:
    assert norm.running_mean is not None and norm.running_var is not None
    return not norm.running_mean.any() and bool((norm.running_var == 1).all())


@contextmanager
def momenta_chosen(training: Training) -> Iterator[None]:
    """A block in which the batch norms of a training have the momenta of `chosen_momenta`; then their own."""
    norms, chosen = _norms(training.task), chosen_momenta(training)
    try:
        for name, (_, momentum) in chosen.items():
            norms[name].momentum = momentum
        yield
    finally:
        for name, (own, _) in chosen.items():
            norms[name].momentum = own


def describe_momenta(training: Training) -> str:
    """What was chosen for the batch norms and why, in one line; the empty text where they keep their own momentum."""
    chosen = chosen_momenta(training)
    if not chosen:
        return ""
    own, momentum = min(chosen.values())
    if training.settings.norm_momentum != "auto":
        return f"batch norms get momentum {momentum:g} in place of {own:.3g} (batch_norm_momentum)"
    steps, told = training.steps_per_epoch, f"an epoch of {training.steps_per_epoch} steps"
    if momentum > USUAL_MOMENTUM:  # it follows from the whole training
        steps *= training.settings.epochs
        told = f"all {steps} steps"
    return (
        f"batch norms get momentum {momentum:.3g} in place of {own:.3g}, which would leave"
        f" {100 * (1 - own) ** steps:.0f} % of their running statistics' initial values after {told}"
        " (batch_norm_momentum: network keeps it)"
    )


def describe_misfit(training: Training, fabric: "Fabric", metrics: Mapping[str, float]) -> str:
    """What is wrong with the running statistics after the last epoch; the empty text where nothing is.

    Looked for where the mean probability of the right class in training, of which `exp(-cross-entropy)` is a lower
    bound (Jensen), is above the accuracy on validation by half of what would be told: a few training batches are
    classified with the running statistics and with those of each batch. They do not fit where the latter is right more
    often by a tenth of the images, and beyond three standard deviations (McNemar 1947). The network is left as it was.

    Args:
        training: what was trained, with the weights and statistics that are validated.
        fabric: device and precision.
        metrics: of the last epoch: `loss_ce`, `validation_top1`.
    """
    norms = _norms(training.task)
    if not norms or math.exp(-metrics.get("loss_ce", math.inf)) <= metrics["validation_top1"] + _FAR / 2:
        return ""
    gained, lost, running, total = _compared(training, fabric, norms).tolist()
    if gained - lost < max(_FAR * total, 3 * math.sqrt(gained + lost)):
        return ""
    return (
        f"the running statistics of batch norms do not fit the weights: of {total} training images,"
        f" {100 * running / total:.0f} % are classified right with them, as in validation, and"
        f" {100 * (running + gained - lost) / total:.0f} % with those of each batch. {_remedy(training)}"
    )


def _remedy(training: Training) -> str:
    ways = ["for more steps", "with larger batches", "with a lower learning rate"]
    if training.settings.norm_momentum != "auto":
        ways[-1] = "with batch_norm_momentum: auto"
    return f"Train {', '.join(ways[:-1])}, or {ways[-1]}"


@torch.no_grad()
def _compared(training: Training, fabric: "Fabric", norms: Mapping[str, _NormBase]) -> Tensor:
    """Training images that are classified right; int64 `[4]`.

    Only with the statistics of their batch; only with the running ones; with the running ones; and all images.
    """
    settings, device = training.settings, fabric.device
    training.task.eval()
    classifier, counts = training.task.classifier(), torch.zeros(4, dtype=torch.int64, device=device)
    meters, untaught = EpochMeters(training.name, settings.epochs - 1), replace(training, teacher=None)
    before = NormStatistics(training.task)
    some = max(1, min(_CHECKED, int(_CHECKED_SHARE * training.steps_per_epoch * settings.epochs)))
    batches = training.loader.training_batches(
        training.augmentation, settings.batch_size, training.seed, settings.epochs - 1, drop_last=True, device=device,
        part=this_part(), done=max(0, training.steps_per_epoch - some),
    )  # fmt: skip
    try:
        for batch in batches:
            for piece in pieces_of(batch, training.pieces):
                _, images, labels, _ = step_inputs(untaught, fabric, piece, settings.epochs - 1, meters)
                with_running = classifier(images).argmax(dim=-1) == labels
                for norm in norms.values():  # alone: drop-out is left off
                    norm.training = True
                with_batch = classifier(images).argmax(dim=-1) == labels
                training.task.eval()
                counts += torch.stack([
                    (with_batch & ~with_running).sum(), (with_running & ~with_batch).sum(), with_running.sum(),
                    torch.ones_like(labels).sum(),
                ])  # fmt: skip
    finally:
        before.restore()
    return summed(counts)
