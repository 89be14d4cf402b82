"""Hints from the middle of the teacher (Romero et al. 2015, arXiv 1412.6550)."""

from torch import Tensor, nn

from pipeline.distill.loss_settings import LossSettings
from pipeline.distill.losses import mean_squared_error_of_maps
from pipeline.distill.methods.base import Method, given_shape, require_stages
from pipeline.models.outputs import NetworkOutput, NetworkShape
from pipeline.tmkd.precision import full_precision


class HintTraining(Method):
    """`CE + 100·MSE` of the student's middle stage, projected, and the teacher's.

    Stages are matched from the deepest; the middle one of the pairs is used, the shallower of two. The paper trains on
    hints first and on labels afterwards; here, as in the field's comparisons, both at once.

    Raises:
        UsageError: a net without stages.
    """

    def __init__(self, settings: LossSettings, student: NetworkShape, teacher: NetworkShape | None) -> None:
        super().__init__(settings, student, teacher)
        teacher = given_shape(teacher, "fitnet")
        require_stages(student, teacher, "distill: fitnet")
        pairs = min(len(student.stages), len(teacher.stages))
        self.stage_from_deepest = pairs // 2 + 1  # of 2, 3 and 4 pairs the 1st, 2nd and 2nd
        ours, theirs = (shape.stages[-self.stage_from_deepest] for shape in (student, teacher))
        self.projection = nn.Conv2d(ours[0], theirs[0], kernel_size=1)

    def feature_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """Mean squared error of the projected map and the teacher's, the larger one pooled to the other's size."""
        ours, theirs = (output.stage_maps[-self.stage_from_deepest] for output in (student, teacher))
        with full_precision(ours):
            projected = self.projection(ours.to(self.projection.weight.dtype))
            return mean_squared_error_of_maps(projected, theirs)
