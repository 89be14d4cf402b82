"""The weights of a run's losses, with every default of its method filled in. No torch here."""

from dataclasses import dataclass
from typing import Any, Protocol

from exporters.core.errors import UsageError
from pipeline.distill.registry import METHODS

# Line 10 where `tmkd` adds it to a base that has none.
_ADDED_LOGITS_WEIGHT = 0.9
_ADDED_LOGITS_TEMPERATURE = 4.0


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Resolved settings of the losses; a weight of 0 switches a term off.

    Attributes:
        ce_weight: μ of the cross-entropy.
        label_smoothing: of the cross-entropy's targets, in [0, 1).
        feature_weight: β of the feature line (9).
        feature_pool: side r of the pooled class activation maps.
        feature_normalise: whether each class map is scaled to length 1.
        feature_bank: crd's negatives of each image from a memory of the training split; 0 for those of the batch.
        logits_weight: α of the logits line (10).
        logits_temperature: T.
        logits_target_weight: of TCKD, in dkd's own logits line.
        logits_non_target_weight: of NCKD there, dkd's β.
        contrast_weight: γ of the vision-language contrast (11).
        contrast_temperature: τ.
        contrast_centre: whether the anchors' mean is taken away.
    """

    ce_weight: float
    label_smoothing: float = 0.0
    feature_weight: float = 0.0
    feature_pool: int = 2
    feature_normalise: bool = True
    feature_bank: int = 0
    logits_weight: float = 0.0
    logits_temperature: float = 4.0
    logits_target_weight: float = 1.0
    logits_non_target_weight: float = 8.0
    contrast_weight: float = 0.0
    contrast_temperature: float = 0.07
    contrast_centre: bool = True


class DistillOptions(Protocol):
    """What the losses need of the recipe's section `distill`."""

    @property
    def method(self) -> str:
        """A name of `METHODS`."""

    @property
    def base(self) -> str:
        """The method that `tmkd` plugs into."""

    @property
    def ce(self) -> Any:
        """Line 12's μ: `weight`."""

    @property
    def feature(self) -> Any:
        """Line 9: `weight`; `pool`, `normalise` of class activation maps; for crd `bank`."""

    @property
    def logits(self) -> Any:
        """Line 10: `weight`, `temperature`; for dkd `target_weight`, `non_target_weight`."""

    @property
    def contrast(self) -> Any:
        """Line 11: `weight`, `temperature`, `centre`."""


def resolve_losses(distill: DistillOptions, label_smoothing: float = 0.0) -> LossSettings:
    """Fill the weights that a recipe leaves open with the method's own (the base's, for `tmkd`).

    A method alone has only its own lines: settings of lines that it has not are ignored, so that one recipe serves
    every method of a comparison.

    Args:
        distill: the recipe's `distill`.
        label_smoothing: the recipe's `train.label_smoothing`.

    Raises:
        UsageError: a method or base that does not exist or does not fit, or all terms switched off.
    """
    if distill.method not in METHODS:
        raise UsageError(f"distill.method: no method {distill.method!r}", remedy=f"Known: {', '.join(METHODS)}.")
    plugged = distill.method == "tmkd"
    own = METHODS[distill.method]
    if plugged:
        if distill.base not in METHODS or not METHODS[distill.base].can_be_base:
            known = ", ".join(name for name, entry in METHODS.items() if entry.can_be_base)
            raise UsageError(f"distill.base: tmkd does not plug into {distill.base!r}", remedy=f"Known: {known}.")
        own = METHODS[distill.base]

    def pick(given: float | None, default: float | None, added: float) -> float:
        if given is not None:
            return given
        return added if default is None else default

    has_feature = plugged or "feature" in own.lines
    has_logits = plugged or "logits" in own.lines
    losses = LossSettings(
        ce_weight=pick(distill.ce.weight, own.ce_weight, 0.0),
        label_smoothing=label_smoothing,
        feature_weight=pick(distill.feature.weight, own.feature_weight, 0.0) if has_feature else 0.0,
        feature_pool=distill.feature.pool,
        feature_normalise=distill.feature.normalise,
        feature_bank=distill.feature.bank,
        logits_weight=pick(distill.logits.weight, own.logits_weight, _ADDED_LOGITS_WEIGHT) if has_logits else 0.0,
        logits_temperature=pick(distill.logits.temperature, own.logits_temperature, _ADDED_LOGITS_TEMPERATURE),
        logits_target_weight=distill.logits.target_weight,
        logits_non_target_weight=distill.logits.non_target_weight,
        contrast_weight=distill.contrast.weight if plugged else 0.0,
        contrast_temperature=distill.contrast.temperature,
        contrast_centre=distill.contrast.centre,
    )
    if not (losses.ce_weight or losses.feature_weight or losses.logits_weight or losses.contrast_weight):
        raise UsageError(
            f"distill: every loss of {distill.method} has the weight 0, so that nothing would be learnt",
            remedy="Give distill.ce.weight or one of the others a weight above 0.",
        )
    return losses
