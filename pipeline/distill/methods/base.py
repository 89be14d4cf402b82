"""What every distillation method is: tensors in, named and weighted losses out."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from exporters.core.errors import UsageError
from pipeline.distill.balance import LossBalance
from pipeline.distill.loss_settings import LossSettings
from pipeline.distill.losses import cross_entropy
from pipeline.distill.memory import TrainingSplit
from pipeline.distill.registry import METHODS
from pipeline.models.outputs import NetworkOutput, NetworkShape
from pipeline.randomness import Samples


class Method(nn.Module):
    """Cross-entropy and the method's own losses; a subclass gives `feature_loss`, `logits_loss` or both.

    What a method trains with the student (a projection, say) is a submodule and never ships.

    Args:
        settings: resolved weights; a term of weight 0 is not computed.
        student: the student's shape.
        teacher: the teacher's, None for a method that takes nothing from a teacher.

    Attributes:
        balance: scales the losses, so that weights are shares; None: weights are factors of the losses as they are.

    Raises:
        UsageError: a student or teacher that the method cannot work with.
    """

    class_weights: Tensor | None
    ramps_logits: bool = False  # whether the logit loss is warmed up as well

    def __init__(self, settings: LossSettings, student: NetworkShape, teacher: NetworkShape | None) -> None:
        super().__init__()
        self.settings = settings
        self.balance: LossBalance | None = None
        weights = None if settings.class_weights is None else torch.tensor(settings.class_weights)
        self.register_buffer("class_weights", weights, persistent=False)

    def prepare(self, training: TrainingSplit) -> None:
        """Make what depends on the training split, once and before the first batch.

        Raises:
            UsageError: a split that the method cannot work with.
        """

    def feature_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """The feature loss in the method's own form, 0-d, not weighted."""
        raise NotImplementedError

    def logits_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: Tensor) -> Tensor:
        """The logit loss in the method's own form, 0-d, not weighted."""
        raise NotImplementedError

    @classmethod
    def has_feature_loss(cls) -> bool:
        """Whether the method has a feature loss of its own."""
        return cls.feature_loss is not Method.feature_loss

    @classmethod
    def has_logits_loss(cls) -> bool:
        """Whether the method has a logit loss of its own."""
        return cls.logits_loss is not Method.logits_loss

    def forward(
        self,
        student: NetworkOutput,
        teacher: NetworkOutput | None,
        labels: Tensor,
        ramp: float,
        samples: Samples | None = None,
    ) -> dict[str, Tensor]:
        """The weighted losses of a batch; the total is their sum.

        With `balance`, each loss but the cross-entropy is scaled by it as well.

        Args:
            student: the student's output, with gradient.
            teacher: the teacher's, or the fused views' (`pipeline.tmkd.fusion.fuse_output`), without gradient.
            labels: `[B]` int64; of mixed images the dominant ones, which is what all losses but the cross-entropy take.
            ramp: warm-up in [0, 1], a factor of the feature and contrast terms.
            samples: which training images these are and what was mixed into them.

        Returns:
            Name (`ce`, `logits`, `feature`, `contrast`) → 0-d fp32; terms of weight 0 are left out.

        Raises:
            ValueError: no teacher where the method needs one.
        """
        terms = self.terms(student, teacher, labels, samples)
        settings = self.settings
        weights = {
            "ce": settings.ce.weight,
            "logits": settings.logits.weight * (ramp if self.ramps_logits else 1.0),
            "feature": settings.feature.weight * ramp,
            "contrast": settings.contrast.weight * ramp,
        }
        losses = {name: weights[name] * term for name, term in terms.items()}
        taught = {name: term for name, term in terms.items() if name != "ce"}
        if self.balance is not None and taught:
            # The unit of all weights, even where the cross-entropy itself has weight 0.
            unit = terms["ce"] if "ce" in terms else self.cross_entropy(student, labels, samples)
            for name, scale in self.balance(unit, taught, student).items():
                losses[name] = scale * losses[name]
        return losses

    def terms(
        self, student: NetworkOutput, teacher: NetworkOutput | None, labels: Tensor, samples: Samples | None = None
    ) -> dict[str, Tensor]:
        """The losses of a batch before weights, those of weight 0 left out; see `forward`."""
        terms: dict[str, Tensor] = {}
        if self.settings.ce.weight:
            terms["ce"] = self.cross_entropy(student, labels, samples)
        if self.has_logits_loss() and self.settings.logits.weight:
            terms["logits"] = self.logits_loss(student, self._given(teacher), labels)
        if self.has_feature_loss() and self.settings.feature.weight:
            terms["feature"] = self.feature_loss(student, self._given(teacher), labels)
        return terms

    def cross_entropy(self, student: NetworkOutput, labels: Tensor, samples: Samples | None = None) -> Tensor:
        """The cross-entropy with the true labels, of mixed images with both, 0-d, not weighted."""
        mixed = None if samples is None else _mixed(samples, labels.device)
        return cross_entropy(student.logits, labels, self.settings.label_smoothing, self.class_weights, mixed)

    def _given(self, teacher: NetworkOutput | None) -> NetworkOutput:
        if teacher is None:
            raise ValueError(f"{type(self).__name__} needs a teacher's output")
        return teacher


def _mixed(samples: Samples, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """The labels of what was mixed into each image, and the share of the image's own label."""
    if samples.partners is None or samples.shares is None:
        return None
    return samples.partners.to(device), samples.shares.to(device)


def given_shape(teacher: NetworkShape | None, method: str) -> NetworkShape:
    """The teacher's shape, for a method that cannot do without.

    Raises:
        UsageError: there is no teacher.
    """
    if teacher is None:
        raise UsageError(f"distill.method: {method} needs a visual teacher", remedy="Give teacher.visual.model.")
    return teacher


def require_cam(student: NetworkShape, teacher: NetworkShape, what: str) -> None:
    """Refuse nets without class activation maps.

    Args:
        student: the student's shape.
        teacher: the teacher's shape.
        what: key and subject of the message, such as `"distill.base: cat_kd"`.

    Raises:
        UsageError: either net has none, naming it and the bases that do work.
    """
    _refuse_where_missing(
        lambda shape: shape.has_cam,
        student,
        teacher,
        f"{what} compares class activation maps, and the %s none: they take a last feature map of more than one pixel "
        "whose mean goes into one linear classifier",
    )


def require_feature_map(student: NetworkShape, teacher: NetworkShape, what: str) -> None:
    """Refuse nets without a last feature map, as `require_cam` does.

    Raises:
        UsageError: either net has none, naming it and the bases that do work.
    """
    _refuse_where_missing(
        lambda shape: shape.map_size is not None,
        student,
        teacher,
        f"{what} compares last feature maps, and the %s none: they take a convolutional map that is pooled for the "
        "classifier",
    )


def require_places(student: NetworkShape, teacher: NetworkShape, what: str) -> None:
    """Refuse nets without a last feature map of more than one pixel, as `require_cam` does.

    Raises:
        UsageError: either net has none, naming it and the bases that do work.
    """
    _refuse_where_missing(
        _has_places,
        student,
        teacher,
        f"{what} compares where two nets look, and the %s no last feature map of more than one pixel",
    )


def require_stages(student: NetworkShape, teacher: NetworkShape, what: str) -> None:
    """Refuse nets without stages, as `require_cam` does.

    Raises:
        UsageError: either net has none, naming it and the bases that do work.
    """
    _refuse_where_missing(
        lambda shape: bool(shape.stages),
        student,
        teacher,
        f"{what} compares the maps of stages, and the %s none: they take convolutional maps of at least two sizes, "
        "larger than one pixel, that lead to the last layers",
    )


def require_classifier(student: NetworkShape, teacher: NetworkShape, what: str) -> None:
    """Refuse nets whose pooled features are not known, as `require_cam` does.

    Raises:
        UsageError: either net has no linear classifier, naming it and the bases that do work.
    """
    _refuse_where_missing(
        lambda shape: shape.has_classifier,
        student,
        teacher,
        f"{what} needs pooled features, and the %s none: they are what goes into a linear classifier",
    )


def _has_places(shape: NetworkShape) -> bool:
    return shape.map_size not in (None, (1, 1))


def _refuse_where_missing(
    has: Callable[[NetworkShape], bool], student: NetworkShape, teacher: NetworkShape, message: str
) -> None:
    shapes = {"student": student, "teacher": teacher}
    missing = [name for name, shape in shapes.items() if not has(shape)]
    if not missing:
        return
    working = [
        name
        for name, entry in METHODS.items()
        if entry.can_be_base
        and all(shape.map_size is not None for shape in shapes.values() if entry.needs_feature_map)
        and all(_has_places(shape) for shape in shapes.values() if entry.needs_places)
        and all(shape.has_cam for shape in shapes.values() if entry.needs_cam)
        and all(shape.stages for shape in shapes.values() if entry.needs_stages)
        and all(shape.has_classifier for shape in shapes.values() if entry.needs_pooled)
    ]
    raise UsageError(
        message % f"{' and the '.join(missing)} {'has' if len(missing) == 1 else 'have'}",
        remedy=f"Bases that work with these: {', '.join(working)} (distill.base; leave out distill.feature.weight).",
    )
