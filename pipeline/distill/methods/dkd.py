"""Decoupled knowledge distillation (Zhao et al. 2022, arXiv 2203.08679)."""

from typing import ClassVar

from torch import Tensor

from exporters.errors import UsageError
from pipeline.distill.losses import decoupled_parts
from pipeline.distill.methods.base import Method
from pipeline.distill.settings import LossSettings
from pipeline.models.outputs import NetworkOutput, NetworkShape

_TARGET_WEIGHT = 1.0
_NON_TARGET_WEIGHT = 8.0


class DecoupledDistillation(Method):
    """`CE + warm·T²·(TCKD + 8·NCKD)`, T = 4; its logits line is warmed up.

    Raises:
        UsageError: two classes, where there is no "among the others".
    """

    ramps_logits: ClassVar[bool] = True

    def __init__(self, settings: LossSettings, student: NetworkShape, teacher: NetworkShape | None) -> None:
        super().__init__(settings, student, teacher)
        if student.classes < 3:
            raise UsageError(
                f"distill: dkd is not defined for {student.classes} classes",
                remedy="Use kd, or another method or base; dkd needs at least 3 classes.",
            )

    def logits_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """`T²·(TCKD + 8·NCKD)`, mean over the batch."""
        temperature = self.settings.logits_temperature
        tckd, nckd = decoupled_parts(student.logits, teacher.logits, labels, temperature)
        return temperature**2 * (_TARGET_WEIGHT * tckd + _NON_TARGET_WEIGHT * nckd).mean()
