"""The settings of each loss, and what a method computes: these, with nothing left open. No torch here."""

from typing import TYPE_CHECKING

from pydantic import Field

from exporters.core.errors import UsageError
from pipeline.distill.registry import METHODS, base_methods
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.distill.settings import DistillSettings

ADDED_LOGITS_WEIGHT, ADDED_LOGITS_TEMPERATURE = 0.9, 4.0
"""Of the logit loss, where `tmkd` adds it to a base that has none."""


class CeSettings(Settings):
    """The cross-entropy with the true labels."""

    weight: float | None = Field(default=None, ge=0, description="μ; null: the base's own.")


class FeatureSettings(Settings):
    """The loss on feature maps."""

    weight: float | None = Field(default=None, ge=0, description="β; null: the base's own.")
    pool: int = Field(
        default=2, ge=1, le=32, description="Last maps and class activation maps are pooled to pool × pool."
    )
    normalise: bool = Field(default=True, description="Scale each class activation map to length 1 first.")
    bank: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="crd only: negatives of each image, from a memory of all training images; 0: those of the batch.",
    )


class LogitsSettings(Settings):
    """The loss on logits."""

    weight: float | None = Field(default=None, ge=0, description="α; null: the base's own.")
    temperature: float | None = Field(default=None, gt=0, description="T; null: the base's own.")
    target_weight: float = Field(
        default=1.0, ge=0, description="dkd only: weight of the part about the true class (TCKD)."
    )
    non_target_weight: float = Field(
        default=8.0, ge=0, description="dkd only: weight of the part about the other classes (NCKD), dkd's β."
    )


class ContrastSettings(Settings):
    """The contrast of the student's features with the text anchors."""

    weight: float = Field(default=0.0, ge=0, description="γ; 0: off.")
    temperature: float = Field(default=0.07, gt=0, description="τ.")
    centre: bool = Field(default=True, description="Subtract the mean of the anchors over the classes.")


class ResolvedCe(CeSettings):
    """`CeSettings` with nothing left open."""

    weight: float


class ResolvedFeature(FeatureSettings):
    """`FeatureSettings` with nothing left open."""

    weight: float


class ResolvedLogits(LogitsSettings):
    """`LogitsSettings` with nothing left open."""

    weight: float
    temperature: float


class LossSettings(Settings):
    """What a method computes: the recipe's settings of each loss, at the same keys, with nothing left open.

    A weight of 0 switches a loss off.
    """

    ce: ResolvedCe
    feature: ResolvedFeature
    logits: ResolvedLogits
    contrast: ContrastSettings
    label_smoothing: float = Field(description="Of the cross-entropy's targets, in [0, 1).")
    class_weights: tuple[float, ...] | None = Field(
        default=None, description="Of the cross-entropy, for each class; None: all alike."
    )


def resolve_losses(
    distill: "DistillSettings", label_smoothing: float = 0.0, class_weights: tuple[float, ...] | None = None
) -> LossSettings:
    """Fill in the weights that a recipe leaves open with the method's own (the base's, for `tmkd`).

    A method alone has only its own losses: settings of others are ignored, so that one recipe serves every method of a
    comparison.

    Args:
        distill: the recipe's `distill`.
        label_smoothing: the recipe's `train.label_smoothing`.
        class_weights: as `pipeline.training.class_weights` gives them.

    Raises:
        UsageError: a method or base that does not exist or does not fit, or all losses switched off.
    """
    if distill.method not in METHODS:
        raise UsageError(f"distill.method: no method {distill.method!r}", remedy=f"Known: {', '.join(METHODS)}.")
    if distill.method == "tmkd" and distill.base not in base_methods():
        known = ", ".join(base_methods())
        raise UsageError(f"distill.base: tmkd does not plug into {distill.base!r}", remedy=f"Known: {known}.")
    plugged = distill.method == "tmkd"
    own = METHODS[distill.base if plugged else distill.method]
    defaults: tuple[float, float | None, float | None]
    if distill.balance == "auto" and own.needs_teacher:
        defaults = (own.ce_share, own.feature_share if "feature" in own.losses else None, own.logits_share)
    else:
        defaults = (own.ce_weight, own.feature_weight, own.logits_weight)
    weights = {
        "ce": _first(distill.ce.weight, defaults[0]),
        "feature": _first(distill.feature.weight, defaults[1], 0.0),
        "logits": _first(distill.logits.weight, defaults[2], ADDED_LOGITS_WEIGHT),
        "contrast": distill.contrast.weight if plugged else 0.0,
    }
    if not plugged:
        weights |= {name: 0.0 for name in ("feature", "logits") if name not in own.losses}
    if not any(weights.values()):
        raise UsageError(
            f"distill: every loss of {distill.method} has the weight 0, so that nothing would be learnt",
            remedy="Give distill.ce.weight or one of the others a weight above 0.",
        )
    temperature = _first(distill.logits.temperature, own.logits_temperature, ADDED_LOGITS_TEMPERATURE)
    return LossSettings(
        ce=ResolvedCe(weight=weights["ce"]),
        feature=ResolvedFeature(**dict(distill.feature) | {"weight": weights["feature"]}),
        logits=ResolvedLogits(**dict(distill.logits) | {"weight": weights["logits"], "temperature": temperature}),
        contrast=distill.contrast.model_copy(update={"weight": weights["contrast"]}),
        label_smoothing=label_smoothing,
        class_weights=class_weights,
    )


def _first(*values: float | None) -> float:
    """The first value that is given."""
    return next(value for value in values if value is not None)
