"""Multi-level logit distillation (Jin et al. 2023, CVPR)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.distill.losses import kl_logits
from pipeline.distill.methods.base import Method
from pipeline.distributed.collectives import gathered
from pipeline.models.outputs import NetworkOutput
from pipeline.tmkd.precision import full_precision, widen

_TEMPERATURES = (0.5, 0.75, 1.0, 1.25, 1.5)  # as multiples of T: 2 to 6 at T = 4


class MultiLevelLogits(Method):
    """`μ·CE + α·Σ_T (instance + batch + class)`: predictions, which images they liken, and which classes.

    By default α = .9, μ = .1 and T = 4. The paper's prediction augmentation, several temperatures for the same
    logits, is here. Left out is what its authors' code has beside it: a second, strongly augmented image, and masks
    by the teacher's confidence.
    """

    def logits_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """The sum of the three levels over temperatures ½, ¾, 1, 1¼ and 1½ times T."""
        ours, theirs = gathered(student.logits), gathered(teacher.logits)
        temperatures = [factor * self.settings.logits.temperature for factor in _TEMPERATURES]
        levels = [
            loss
            for temperature in temperatures
            for loss in (
                kl_logits(ours, theirs, temperature),
                *alignment_losses(ours, theirs, temperature),
            )
        ]
        return torch.stack(levels).sum()


def alignment_losses(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Squared errors of the two Gram matrices of softened probabilities p (batch-level and class-level alignment).

    Args:
        student_logits: `[B, K]`.
        teacher_logits: `[B, K]`.
        temperature: T above 0.

    Returns:
        `1/B·‖p_s·p_sᵀ - p_t·p_tᵀ‖²_F` and `1/K·‖p_sᵀ·p_s - p_tᵀ·p_t‖²_F`; 0-d fp32 (float64 for float64).
    """
    with full_precision(student_logits):
        ours, theirs = ((widen(z) / temperature).softmax(dim=1) for z in (student_logits, teacher_logits))
        images, classes = ours.shape
        batch = F.mse_loss(ours @ ours.T, theirs @ theirs.T, reduction="sum") / images
        by_class = F.mse_loss(ours.T @ ours, theirs.T @ theirs, reduction="sum") / classes
        return batch, by_class
