"""Contrastive representation distillation (Tian et al. 2020, arXiv 1910.10699), with the batch as its bank."""

from torch import Tensor, nn

from pipeline.distill.losses import representation_contrast
from pipeline.distill.methods.base import Method, given_shape, require_classifier
from pipeline.distill.settings import LossSettings
from pipeline.models.outputs import NetworkOutput, NetworkShape
from pipeline.tmkd.precision import full_precision

_WIDTH = 128
_TEMPERATURE = 0.07


class ContrastiveRepresentation(Method):
    """`CE + .8·contrast` of 128-d linear embeddings of student and teacher; the embeddings are training-time only.

    Raises:
        UsageError: a net without a linear classifier, whose pooled features are not known.
    """

    def __init__(self, settings: LossSettings, student: NetworkShape, teacher: NetworkShape | None) -> None:
        super().__init__(settings, student, teacher)
        teacher = given_shape(teacher, "crd")
        require_classifier(student, teacher, "distill: crd")
        self.student_embedding = nn.Linear(student.channels, _WIDTH)
        self.teacher_embedding = nn.Linear(teacher.channels, _WIDTH)

    def feature_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """Same image together, other classes apart, from the student's side and from the teacher's."""
        with full_precision(student.pooled):
            ours = self.student_embedding(student.pooled.to(self.student_embedding.weight.dtype))
            theirs = self.teacher_embedding(teacher.pooled.to(self.teacher_embedding.weight.dtype))
        return representation_contrast(ours, theirs, labels, _TEMPERATURE)
