"""Similarity-preserving distillation (Tung and Mori 2019, arXiv 1907.09682)."""

import torch.nn.functional as F
from torch import Tensor

from pipeline.distill.loss_settings import LossSettings
from pipeline.distill.methods.base import Method, given_shape, require_feature_map
from pipeline.distributed.collectives import gathered, process_count
from pipeline.models.outputs import NetworkOutput, NetworkShape
from pipeline.tmkd.precision import full_precision, widen


class SimilarityPreserving(Method):
    """`CE + β·MSE` of which images of a batch resemble which, by default with β = 3000, the paper's γ.

    Taken from the last feature maps, as in the paper's experiments, pooled to `distill.feature.pool`², which the
    teacher cache keeps. Sizes and widths of the two nets need not agree.

    Raises:
        UsageError: a net without a last feature map.
    """

    def __init__(self, settings: LossSettings, student: NetworkShape, teacher: NetworkShape | None) -> None:
        super().__init__(settings, student, teacher)
        require_feature_map(student, given_shape(teacher, "sp"), "distill: sp")

    def feature_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """Mean squared difference of the batch's similarities; 0 for one image."""
        assert student.feature_map is not None
        assert teacher.feature_map is not None
        pool = self.settings.feature.pool
        if process_count() > 1:  # what is compared is exchanged, and no more
            ours, theirs = (F.adaptive_avg_pool2d(widen(x), pool) for x in (student.feature_map, teacher.feature_map))
            return similarity_loss(gathered(ours), gathered(theirs), pool)
        return similarity_loss(student.feature_map, teacher.feature_map, pool)


def similarity_loss(student: Tensor, teacher: Tensor, pool: int) -> Tensor:
    """`1/B²·‖G_s - G_t‖²_F`, `G` the Gram matrix `Q·Qᵀ` of the flattened maps with rows of length 1 (eq. 1 to 3).

    Args:
        student: `[B, C_s, h_s, w_s]`.
        teacher: `[B, C_t, h_t, w_t]`.
        pool: side r to which maps are averaged first.

    Returns:
        0-d fp32 (float64 for float64).
    """

    def similarities(feature_map: Tensor) -> Tensor:
        flat = F.adaptive_avg_pool2d(widen(feature_map), pool).flatten(1)
        return F.normalize(flat @ flat.T, dim=1)

    with full_precision(student):
        return F.mse_loss(similarities(student), similarities(teacher))
