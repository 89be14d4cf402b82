"""Knowledge review (Chen et al. 2021, arXiv 2104.09044): deep student stages help to match shallow teacher stages."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.distill.loss_settings import LossSettings
from pipeline.distill.losses import hierarchical_context_loss
from pipeline.distill.methods.base import Method, given_shape, require_stages
from pipeline.models.outputs import NetworkOutput, NetworkShape
from pipeline.tmkd.precision import full_precision

_WIDEST = 512


class AttentionFusion(nn.Module):
    """One stage of the review (ABF): the student's map, joined by what comes from the deeper stages.

    Args:
        channels: of the student's map.
        width: of what is handed from stage to stage.
        teacher_channels: of the map to match.
        deepest: whether no deeper stage hands anything over.
    """

    def __init__(self, channels: int, width: int, teacher_channels: int, deepest: bool) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, kernel_size=1)
        self.attention = None if deepest else nn.Conv2d(2 * width, 2, kernel_size=1)
        self.expand = nn.Conv2d(width, teacher_channels, kernel_size=3, padding=1)

    def forward(self, stage_map: Tensor, deeper: Tensor | None) -> tuple[Tensor, Tensor]:
        """`[B, C, h, w]` and `[B, width, h', w']` → `[B, C_t, h, w]` to compare, `[B, width, h, w]` to hand on."""
        with full_precision(stage_map):
            reviewed = self.reduce(stage_map.to(self.reduce.weight.dtype))
            if self.attention is not None and deeper is not None:
                deeper = F.interpolate(deeper, reviewed.shape[2:], mode="nearest")
                shares = self.attention(torch.cat([reviewed, deeper], dim=1)).sigmoid()
                reviewed = shares[:, :1] * reviewed + shares[:, 1:] * deeper
            return self.expand(reviewed), reviewed


class KnowledgeReview(Method):
    """`CE + β·Σ_stages HCL`, from the deepest stage upwards; the field's β is between 1 and 8, by the pair of nets.

    Stages are matched from the deepest, as many as both nets have.

    Raises:
        UsageError: a net without stages.
    """

    def __init__(self, settings: LossSettings, student: NetworkShape, teacher: NetworkShape | None) -> None:
        super().__init__(settings, student, teacher)
        teacher = given_shape(teacher, "reviewkd")
        require_stages(student, teacher, "distill: reviewkd")
        width = min(_WIDEST, student.stages[-1][0])
        pairs = zip(reversed(student.stages), reversed(teacher.stages), strict=False)
        self.fusions = nn.ModuleList(
            AttentionFusion(ours[0], width, theirs[0], deepest=index == 0) for index, (ours, theirs) in enumerate(pairs)
        )

    def feature_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """The sum of `hierarchical_context_loss` over the stages."""
        losses, deeper = [], None
        maps = zip(self.fusions, reversed(student.stage_maps), reversed(teacher.stage_maps), strict=False)
        for fusion, ours, theirs in maps:
            matched, deeper = fusion(ours, deeper)
            losses.append(hierarchical_context_loss(matched, theirs))
        return torch.stack(losses).sum()
