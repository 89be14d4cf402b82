"""DIST, distillation from a stronger teacher (Huang et al. 2022, arXiv 2205.10536)."""

import torch
from torch import Tensor

from pipeline.distill.methods.base import Method
from pipeline.distributed.collectives import gathered
from pipeline.models.outputs import NetworkOutput
from pipeline.tmkd.precision import full_precision, widen

_SPREAD = 1e-4  # of the largest probability


class CorrelationDistillation(Method):
    """`CE + α·T²·(inter + intra)`: probabilities need only correlate, over the classes and over the batch.

    By default α = 1 and T = 4, the authors' settings on CIFAR-100 (on ImageNet T = 1).
    """

    def logits_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """`T²·(inter + intra)`, both parts of `correlation_losses`."""
        temperature = self.settings.logits.temperature
        inter, intra = correlation_losses(gathered(student.logits), gathered(teacher.logits), temperature)
        return temperature**2 * (inter + intra)


def correlation_losses(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """`1 - ρ` of softened probabilities, ρ Pearson's correlation (eq. 6 to 9).

    Args:
        student_logits: `[B, K]`.
        teacher_logits: `[B, K]`.
        temperature: T above 0.

    Returns:
        inter: over the classes, the mean over the images; intra: over the images, the mean over the classes. Both 0-d
        fp32 (float64 for float64), in [0, 2]. What differs by less than 1e-4 of its
        size on one side counts as uncorrelated: 1, without gradient.
    """
    with full_precision(student_logits):
        ours, theirs = ((widen(z) / temperature).softmax(dim=1) for z in (student_logits, teacher_logits))
        inter, intra = (1 - _correlation(ours, theirs, axis).mean() for axis in (1, 0))
        return inter, intra


def _correlation(first: Tensor, second: Tensor, axis: int) -> Tensor:
    return (_standardised(first, axis) * _standardised(second, axis)).sum(dim=axis)


def _standardised(values: Tensor, axis: int) -> Tensor:
    """Less their mean and of length 1 along an axis; zeros where only rounding makes them differ."""
    largest = values.detach().amax(dim=axis, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
    scaled = values / largest  # probabilities of 1e-20 have no squares in fp32
    centred = scaled - scaled.mean(dim=axis, keepdim=True)
    square = centred.square().sum(dim=axis, keepdim=True)
    return torch.where(square > _SPREAD**2, centred * square.clamp(min=_SPREAD**2).rsqrt(), 0)
