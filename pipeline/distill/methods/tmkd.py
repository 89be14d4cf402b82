"""TMKD (arXiv 2603.24208), our reconstruction, lines 9 to 12: a plug-in for a base method."""

from torch import Tensor

from exporters.core.errors import UsageError
from pipeline.distill.loss_settings import LossSettings
from pipeline.distill.losses import kl_logits
from pipeline.distill.memory import TrainingSplit
from pipeline.distill.methods.base import Method, given_shape, require_cam
from pipeline.distill.methods.cat_kd import attention_transfer
from pipeline.distributed.collectives import gathered
from pipeline.models.outputs import NetworkOutput, NetworkShape
from pipeline.randomness import Samples
from pipeline.tmkd.contrast import ContrastHead, centre_anchors, image_text_contrast


class Tmkd(Method):
    """The base's own losses on the fused teacher, the feature or logit loss that the base lacks, and the contrast.

    Args:
        settings: resolved weights; the base has the same.
        student: the student's shape.
        teacher: the visual teacher's shape.
        base: the method that it plugs into.
        anchors: `[K, D]`, the rgb prompts' embeddings; needed where `contrast.weight` is above 0.

    Raises:
        UsageError: a feature loss on nets without class activation maps; a contrast without anchors of all classes or
            on a student without a linear classifier.
    """

    anchors: Tensor

    def __init__(
        self,
        settings: LossSettings,
        student: NetworkShape,
        teacher: NetworkShape | None,
        *,
        base: Method,
        anchors: Tensor | None = None,
    ) -> None:
        super().__init__(settings, student, teacher)
        self.base = base
        self.ramps_logits = base.ramps_logits
        if settings.feature.weight and not base.has_feature_loss():
            require_cam(student, given_shape(teacher, "tmkd"), "distill.feature.weight: the feature loss")
        if settings.contrast.weight:
            if anchors is None or anchors.shape[0] != student.classes:
                found = 0 if anchors is None else len(anchors)
                raise UsageError(
                    f"distill.contrast.weight: expected text anchors of {student.classes} classes, got {found}",
                    remedy="Give teacher.text, or set distill.contrast.weight to 0.",
                )
            if not student.has_classifier:
                raise UsageError(
                    "distill.contrast.weight: the contrast needs the student's pooled features, and its "
                    "logits do not come from a linear layer",
                    remedy="Set distill.contrast.weight to 0, or take another student.",
                )
            self.head = ContrastHead(student.channels, anchors.shape[1])
            self.register_buffer("anchors", centre_anchors(anchors, settings.contrast.centre), persistent=False)

    def prepare(self, training: TrainingSplit) -> None:
        """Prepare the base method; see `Method.prepare`."""
        self.base.prepare(training)

    def terms(
        self, student: NetworkOutput, teacher: NetworkOutput | None, labels: Tensor, samples: Samples | None = None
    ) -> dict[str, Tensor]:
        """The base's losses and the added ones; see `Method.terms`."""
        fused = self._given(teacher)
        settings = self.settings
        terms = self.base.terms(student, fused, labels, samples)
        if settings.logits.weight and not self.base.has_logits_loss():
            terms["logits"] = kl_logits(student.logits, fused.logits, settings.logits.temperature)
        if settings.feature.weight and not self.base.has_feature_loss():
            terms["feature"] = attention_transfer(settings, student, fused)
        if settings.contrast.weight:
            embeddings, shown = gathered(self.head(student.pooled)), gathered(labels)
            terms["contrast"] = image_text_contrast(embeddings, self.anchors, shown, settings.contrast.temperature)
        return terms
