"""Logit standardisation (Sun et al. 2024, arXiv 2403.01427)."""

from torch import Tensor

from pipeline.distill.losses import kl_logits, standardise
from pipeline.distill.methods.base import Method
from pipeline.models.outputs import NetworkOutput


class LogitStandardisation(Method):
    """KD on each sample's z-scored logits, by default `.1·CE + 9·T²·KL` with T = 2."""

    def logits_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """`T²·KL` of the z-scores: the student matches the teacher's logits up to shift and scale."""
        temperature = self.settings.logits.temperature
        return kl_logits(standardise(student.logits), standardise(teacher.logits), temperature)
