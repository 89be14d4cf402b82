"""Knowledge distillation (Hinton et al. 2015, arXiv 1503.02531)."""

from torch import Tensor

from pipeline.distill.losses import kl_logits
from pipeline.distill.methods.base import Method
from pipeline.models.outputs import NetworkOutput


class KnowledgeDistillation(Method):
    """`μ·CE + α·T²·KL`, by default .1, .9 and T = 4."""

    def logits_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """`T²·KL(softmax(z_t/T) ‖ softmax(z_s/T))`."""
        return kl_logits(student.logits, teacher.logits, self.settings.logits.temperature)
