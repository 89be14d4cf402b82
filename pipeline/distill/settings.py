"""The settings of a distillation: the recipe's section `distill`, and the losses that follow from it. No torch here."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from exporters.core.errors import UsageError
from pipeline.distill.race.candidates import PLAIN, Candidate, candidate, default_candidates
from pipeline.distill.race.settings import AutoSettings
from pipeline.distill.registry import METHODS, base_methods
from pipeline.settings import Settings, one_of, problem
from pipeline.tmkd.settings import WeightingSettings
from pipeline.tmkd.views.candidates import CANDIDATES
from pipeline.tmkd.views.settings import ChosenViews, ViewSettings, default_views

ADDED_LOGITS_WEIGHT, ADDED_LOGITS_TEMPERATURE = 0.9, 4.0
"""Of the logit loss, where `tmkd` adds it to a base that has none."""

LARGEST_SHARE = 10.0
"""Of a weight under `balance: auto`; tables of published weights hold larger ones, which are no shares."""

AUTO = "auto"
"""The method that is chosen in a race; `DistillSettings.candidates` has what takes part."""

METHOD_NAMES, BASE_NAMES = [*METHODS, AUTO], list(base_methods())
_WEIGHTS = ("ce.weight", "feature.weight", "logits.weight", "contrast.weight")


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


class TeacherCacheSettings(Settings):
    """Keeps the teachers' outputs on disk, and replays the augmentation in a cycle of epochs."""

    passes: int = Field(
        default=0, ge=0, le=10_000, description="Epochs in the augmentation cycle; 0: no cache, no replay."
    )
    share: Literal["auto", "seeds", "none"] = Field(
        default="auto",
        description="seeds: the augmentation of the cycle follows data.split_seed in place of seed, so that runs that"
        " differ in seed alone share a cache; auto: seeds in a comparison, else none.",
    )

    storage: Literal["float32", "float16"] = Field(
        default="float32", description="How numbers are kept; float16: half the size, rounded to 11 bits."
    )
    max_gb: float | None = Field(
        default=None, gt=0, description="Gigabytes (10^9 bytes) that the cache may take; a larger one is refused."
    )
    stages: bool = Field(
        default=False, description="fitnet and reviewkd only: keep the feature maps of all stages, which are large."
    )

    @property
    def is_shared(self) -> bool:
        """Whether the augmentation of the cycle is the same under every seed."""
        return self.passes > 0 and self.share == "seeds"


class DistillSettings(Settings):
    """What the student is taught, and how."""

    method: Annotated[str, one_of(METHOD_NAMES)] = Field(
        default="tmkd", description="The distillation method.", json_schema_extra={"enum": [*METHOD_NAMES]}
    )
    base: Annotated[str, one_of(BASE_NAMES)] = Field(
        default="cat_kd",
        description="method: tmkd only: the method that it plugs into.",
        json_schema_extra={"enum": [*BASE_NAMES]},
    )
    auto: AutoSettings = Field(default_factory=AutoSettings, description="The race in which method: auto chooses.")
    balance: Literal["auto", "none"] = Field(
        default="auto",
        description="auto: each loss is scaled to pull on the student's features as hard as the cross-entropy, so that "
        "weights are shares; none: weights multiply the losses as they are, as in published tables.",
    )
    ce: CeSettings = Field(default_factory=CeSettings, description="The cross-entropy.")
    views: ChosenViews = Field(
        default_factory=default_views,
        description="The views in addition to rgb, by name; null removes one; auto: chosen on validation.",
    )
    student_views: bool = Field(
        default=False,
        description="Show the student each image in one view or unchanged, sampled again in each epoch; in a view it"
        " learns the teacher's answer to that view.",
    )
    weighting: WeightingSettings = Field(default_factory=WeightingSettings, description="How the views are weighed.")
    feature: FeatureSettings = Field(default_factory=FeatureSettings, description="The loss on feature maps.")
    logits: LogitsSettings = Field(default_factory=LogitsSettings, description="The loss on logits.")
    contrast: ContrastSettings = Field(default_factory=ContrastSettings, description="The loss against text anchors.")
    teacher_cache: TeacherCacheSettings = Field(
        default_factory=TeacherCacheSettings, description="The teachers' outputs on disk."
    )
    warmup: int | None = Field(
        default=None,
        ge=0,
        description="Epochs over which β and γ rise linearly; null: a tenth of train.epochs, 20 at most.",
    )
    on_no_gain: Literal["warn", "fall_back", "fail"] = Field(
        default="warn",
        description="Response to a distilled student that is less accurate on validation than plain training"
        " (student.baseline): a warning, the plain student ships in its place, or exit 3.",
    )
    reference: Literal["none", "base"] = Field(
        default="none",
        description="method: tmkd only: base trains a second student with the same losses on rgb alone, without"
        " contrast, for the comparison at the end of the run.",
    )

    @model_validator(mode="after")
    def _teaches_something(self) -> Self:
        try:
            for each in self.candidates:
                resolve_losses(self.of(each))
        except UsageError as error:
            raise problem("method", error.message.removeprefix("distill: "), *_WEIGHTS) from error
        return self

    @model_validator(mode="after")
    def _balanced_weights_are_shares(self) -> Self:
        for losses in (self.of(each).losses for each in self.candidates if self.balance == "auto"):
            for name in ("feature", "logits", "contrast"):
                weight = getattr(losses, name).weight
                if weight > LARGEST_SHARE:
                    raise problem(
                        f"{name}.weight",
                        f"expected a share of at most {LARGEST_SHARE:g} with @balance auto, got {weight:g}; set "
                        "@balance to none for published weights, which multiply the losses as they are",
                        "balance",
                        "method",
                    )
        return self

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What may be trained: the method, or everything that races under `auto`, plain training first."""
        if self.method != AUTO:
            return (Candidate(self.method, self.base if self.method == "tmkd" else None),)
        if self.auto.candidates is None:
            return default_candidates(self.base)
        return tuple(candidate(name) for name in dict.fromkeys((PLAIN, *self.auto.candidates)))

    @property
    def may_use_tmkd(self) -> bool:
        """Whether TMKD is the method, or races for it."""
        return any(each.method == "tmkd" for each in self.candidates)

    def of(self, chosen: Candidate) -> "DistillSettings":
        """These settings with a candidate in the place of `auto`; unchanged under any other method.

        Weights and temperature of losses that the recipe gives are meant for `base`; candidates that have nothing to do
        with it take those of their own papers.
        """
        if self.method != AUTO:
            return self
        changes: dict[str, object] = {"method": chosen.method, "base": chosen.base or self.base}
        if (chosen.base or chosen.method) != self.base:
            changes |= {
                "ce": self.ce.model_copy(update={"weight": None}),
                "feature": self.feature.model_copy(update={"weight": None}),
                "logits": self.logits.model_copy(update={"weight": None, "temperature": None}),
            }
        return self.model_copy(update=changes)

    @property
    def losses(self) -> "LossSettings":
        """The settings of the losses, those that are left open filled in with the method's own."""
        return resolve_losses(self)

    @property
    def uses_views(self) -> bool:
        """Whether the method shows the teacher more than the image itself."""
        return self.may_use_tmkd and bool(self.views)

    @property
    def possible_views(self) -> Mapping[str, ViewSettings]:
        """Name → view, in addition to rgb: the recipe's, or all among which `auto` chooses."""
        return CANDIDATES if self.views == "auto" else self.views

    @property
    def is_fitted(self) -> bool:
        """Whether something about views and weights is decided by what the stage `fusion` measures."""
        return self.uses_views and (self.views == "auto" or self.weighting.is_fitted)

    def warmup_epochs(self, epochs: int) -> int:
        """The epochs over which the weights of the feature loss and the contrast rise, of `epochs` in all."""
        return min(20, epochs // 10) if self.warmup is None else self.warmup


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
    distill: DistillSettings, label_smoothing: float = 0.0, class_weights: tuple[float, ...] | None = None
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
    if distill.method == "tmkd" and distill.base not in BASE_NAMES:
        known = ", ".join(BASE_NAMES)
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
