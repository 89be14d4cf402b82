"""Decoupled knowledge distillation (Zhao et al. 2022, arXiv 2203.08679)."""

from torch import Tensor

from exporters.core.errors import UsageError
from pipeline.distill.loss_settings import LossSettings
from pipeline.distill.losses import decoupled_parts
from pipeline.distill.methods.base import Method
from pipeline.models.outputs import NetworkOutput, NetworkShape


class DecoupledDistillation(Method):
    """`CE + warm·T²·(α·TCKD + β·NCKD)`, by default with α = 1, β = 8 and T = 4; its logit loss is warmed up.

    Raises:
        UsageError: two classes, where there is no "among the others".
    """

    ramps_logits = True

    def __init__(self, settings: LossSettings, student: NetworkShape, teacher: NetworkShape | None) -> None:
        super().__init__(settings, student, teacher)
        if student.classes < 3:
            raise UsageError(
                f"distill: dkd is not defined for {student.classes} classes",
                remedy="Use kd, or another method or base; dkd needs at least 3 classes.",
            )

    def logits_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """`T²·(α·TCKD + β·NCKD)`, mean over the batch."""
        temperature = self.settings.logits.temperature
        tckd, nckd = decoupled_parts(student.logits, teacher.logits, labels, temperature)
        target, non_target = self.settings.logits.target_weight, self.settings.logits.non_target_weight
        return temperature**2 * (target * tckd + non_target * nckd).mean()
