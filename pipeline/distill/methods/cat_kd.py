"""Class attention transfer (Guo et al. 2023, CAT-KD)."""

from torch import Tensor

from pipeline.distill.loss_settings import LossSettings
from pipeline.distill.losses import class_attention_loss
from pipeline.distill.methods.base import Method, given_shape, require_cam
from pipeline.models.outputs import NetworkOutput, NetworkShape


class ClassAttentionTransfer(Method):
    """`CE + β·MSE` of pooled class activation maps; the field's β depends on the pair of nets.

    Raises:
        UsageError: a net without class activation maps.
    """

    def __init__(self, settings: LossSettings, student: NetworkShape, teacher: NetworkShape | None) -> None:
        super().__init__(settings, student, teacher)
        require_cam(student, given_shape(teacher, "cat_kd"), "distill: cat_kd")

    def feature_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """Mean squared error of the maps, pooled to r×r and, by default, each of length 1."""
        return attention_transfer(self.settings, student, teacher)


def attention_transfer(settings: LossSettings, student: NetworkOutput, teacher: NetworkOutput) -> Tensor:
    """`class_attention_loss` of two outputs that have class activation maps, 0-d."""
    assert student.feature_map is not None
    assert student.classifier_weight is not None
    assert teacher.feature_map is not None
    assert teacher.classifier_weight is not None
    return class_attention_loss(
        student.feature_map,
        student.classifier_weight,
        teacher.feature_map,
        teacher.classifier_weight,
        pool=settings.feature.pool,
        normalise=settings.feature.normalise,
    )
