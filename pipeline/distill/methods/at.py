"""Attention transfer (Zagoruyko and Komodakis 2017, arXiv 1612.03928)."""

import torch.nn.functional as F
from torch import Tensor

from exporters.core.errors import UsageError
from pipeline.distill.loss_settings import LossSettings
from pipeline.distill.methods.base import Method, given_shape, require_places
from pipeline.models.outputs import NetworkOutput, NetworkShape
from pipeline.tmkd.precision import full_precision, widen


class AttentionTransfer(Method):
    """`CE + β·MSE` of spatial attention maps, by default with β = 500, the paper's `β/2`.

    The paper adds this up over several pairs of layers; here it is the pair of last maps, pooled to
    `distill.feature.pool`², which the teacher cache keeps.

    Raises:
        UsageError: a net without a last feature map of several pixels, or one that is pooled to a single one.
    """

    def __init__(self, settings: LossSettings, student: NetworkShape, teacher: NetworkShape | None) -> None:
        super().__init__(settings, student, teacher)
        require_places(student, given_shape(teacher, "at"), "distill: at")
        if settings.feature.weight and settings.feature.pool == 1:
            raise UsageError(
                "distill.feature.pool: at compares where two nets look, which a map pooled to one pixel does not tell",
                remedy="Set distill.feature.pool to 2 or more.",
            )

    def feature_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """Mean squared difference of the attention maps of the last feature maps, pooled to r×r."""
        assert student.feature_map is not None
        assert teacher.feature_map is not None
        return attention_loss(student.feature_map, teacher.feature_map, self.settings.feature.pool)


def attention_loss(student: Tensor, teacher: Tensor, pool: int) -> Tensor:
    """`mean (q_s - q_t)²` over places and images, `q = vec(Σ_c A_c²) / ‖vec(Σ_c A_c²)‖₂` (the paper's `F²_sum`, eq. 2).

    The paper writes the norm of the difference; its square, which is smooth at 0, is what its authors compute.

    Args:
        student: `[B, C_s, h_s, w_s]`.
        teacher: `[B, C_t, h_t, w_t]`.
        pool: side r to which maps are averaged first.

    Returns:
        0-d fp32 (float64 for float64), in [0, 2/r²].
    """

    def attention(feature_map: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(widen(feature_map), pool)
        return F.normalize(pooled.square().sum(dim=1).flatten(1), dim=1)

    with full_precision(student):
        return F.mse_loss(attention(student), attention(teacher))
