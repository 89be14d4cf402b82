"""Contrastive representation distillation (Tian et al. 2020, arXiv 1910.10699), against the batch or a memory."""

from torch import Tensor, nn

from pipeline.distill.loss_settings import LossSettings
from pipeline.distill.losses import representation_contrast
from pipeline.distill.memory import ContrastMemory, TrainingSplit
from pipeline.distill.methods.base import Method, given_shape, require_classifier
from pipeline.distributed.collectives import gathered, gathered_samples
from pipeline.models.outputs import NetworkOutput, NetworkShape
from pipeline.randomness import Samples
from pipeline.tmkd.precision import full_precision

_WIDTH = 128
_TEMPERATURE = 0.07


class ContrastiveRepresentation(Method):
    """`CE + .8·contrast` of 128-d linear embeddings of student and teacher; the embeddings are training-time only.

    Negatives are the batch's other classes or, with `distill.feature.bank` above 0, so many images of the whole
    training split, from a memory of one embedding each.

    Raises:
        UsageError: a net without a linear classifier, whose pooled features are not known.
    """

    def __init__(self, settings: LossSettings, student: NetworkShape, teacher: NetworkShape | None) -> None:
        super().__init__(settings, student, teacher)
        teacher = given_shape(teacher, "crd")
        require_classifier(student, teacher, "distill: crd")
        self.student_embedding = nn.Linear(student.channels, _WIDTH)
        self.teacher_embedding = nn.Linear(teacher.channels, _WIDTH)
        self.memory: ContrastMemory | None = None
        self._samples: Samples | None = None

    def prepare(self, training: TrainingSplit) -> None:
        """Make the memory, where there is to be one."""
        if self.settings.feature.bank and self.settings.feature.weight:
            self.memory = ContrastMemory(training, _WIDTH, self.settings.feature.bank, _TEMPERATURE)

    def terms(
        self, student: NetworkOutput, teacher: NetworkOutput | None, labels: Tensor, samples: Samples | None = None
    ) -> dict[str, Tensor]:
        """See `Method.terms`; with a memory, `samples` are needed."""
        self._samples = samples
        return super().terms(student, teacher, labels, samples)

    def feature_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """Same image together, other classes apart, from the student's side and from the teacher's."""
        with full_precision(student.pooled):
            ours = self.student_embedding(student.pooled.to(self.student_embedding.weight.dtype))
            theirs = self.teacher_embedding(teacher.pooled.to(self.teacher_embedding.weight.dtype))
        if self.settings.feature.bank:
            if self.memory is None or self._samples is None:
                raise ValueError("a memory needs the training split (prepare) and the samples of each batch")
            return self.memory(gathered(ours), gathered(theirs), gathered_samples(self._samples))
        return representation_contrast(gathered(ours), gathered(theirs), gathered(labels), _TEMPERATURE)
