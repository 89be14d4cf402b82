"""Relational knowledge distillation (Park et al. 2019, arXiv 1904.05068)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.distill.loss_settings import LossSettings
from pipeline.distill.methods.base import Method, given_shape, require_classifier
from pipeline.distributed.collectives import gathered
from pipeline.models.outputs import NetworkOutput, NetworkShape
from pipeline.tmkd.precision import full_precision, widen

_ANGLE = 2.0  # the paper's λ_D = 25 and λ_A = 50


class RelationalDistillation(Method):
    """`CE + β·(distance + 2·angle)` of the pooled features of a batch, by default with β = 25.

    The angles of all triplets take `B²·(B + C)` numbers, C the width of the wider features.

    Raises:
        UsageError: a net without a linear classifier, whose pooled features are not known.
    """

    def __init__(self, settings: LossSettings, student: NetworkShape, teacher: NetworkShape | None) -> None:
        super().__init__(settings, student, teacher)
        require_classifier(student, given_shape(teacher, "rkd"), "distill: rkd")

    def feature_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """`distance_loss + 2·angle_loss`."""
        ours, theirs = gathered(student.pooled), gathered(teacher.pooled)
        return distance_loss(ours, theirs) + _ANGLE * angle_loss(ours, theirs)


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss of the distances between images, each net's divided by their mean (eq. 4 to 6).

    Args:
        student: `[B, C_s]`.
        teacher: `[B, C_t]`.

    Returns:
        0-d fp32 (float64 for float64), the mean over pairs of different images; 0 for one image.
    """
    with full_precision(student):
        student, teacher = widen(student), widen(teacher)
        if len(student) < 2:
            return 0 * student.sum()
        first, second = torch.triu_indices(len(student), len(student), offset=1, device=student.device)

        def distances(features: Tensor) -> Tensor:
            lengths = _length(features[first] - features[second])
            return lengths / lengths.mean()

        return F.smooth_l1_loss(distances(student), distances(teacher))


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss of the cosines of the angles that three images form at the second of them (eq. 7 and 8).

    Args:
        student: `[B, C_s]`.
        teacher: `[B, C_t]`.

    Returns:
        0-d fp32 (float64 for float64), the mean over triplets of different images; 0 for fewer than three images.
    """
    with full_precision(student):
        student, teacher = widen(student), widen(teacher)
        images = len(student)
        if images < 3:
            return 0 * student.sum()

        def cosines(features: Tensor) -> Tensor:  # [j, i, k]
            rays = features[None, :, :] - features[:, None, :]
            directions = rays / _length(rays)[..., None]
            return directions @ directions.mT

        numbers = torch.arange(images, device=student.device)
        j, i, k = numbers[:, None, None], numbers[None, :, None], numbers[None, None, :]
        different = (i != j) & (k != j) & (i != k)
        return F.smooth_l1_loss(cosines(student)[different], cosines(teacher)[different])


def _length(vectors: Tensor) -> Tensor:
    """Euclidean length along the last axis, at least 1e-6, where it has no gradient; so that 0 is no pole."""
    return vectors.square().sum(dim=-1).clamp(min=1e-12).sqrt()
