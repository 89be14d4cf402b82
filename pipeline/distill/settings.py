"""The settings of a distillation: the recipe's section `distill`. No torch here."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from exporters.core.errors import UsageError
from pipeline.distill.loss_settings import (
    CeSettings,
    ContrastSettings,
    FeatureSettings,
    LogitsSettings,
    LossSettings,
    resolve_losses,
)
from pipeline.distill.race.candidates import PLAIN, Candidate, candidate, default_candidates
from pipeline.distill.race.settings import AutoSettings
from pipeline.distill.registry import METHODS, base_methods
from pipeline.settings import Settings, one_of, problem
from pipeline.tmkd.settings import WeightingSettings
from pipeline.tmkd.views.candidates import CANDIDATES
from pipeline.tmkd.views.settings import ChosenViews, ViewSettings, default_views

LARGEST_SHARE = 10.0
"""Of a weight under `balance: auto`; tables of published weights hold larger ones, which are no shares."""

AUTO = "auto"
"""The method that is chosen in a race; `DistillSettings.candidates` has what takes part."""

METHOD_NAMES, BASE_NAMES = [*METHODS, AUTO], list(base_methods())
_WEIGHTS = ("ce.weight", "feature.weight", "logits.weight", "contrast.weight")


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
        default=None,
        gt=0,
        description="Gigabytes (10^9 bytes) that the cache may take, with what CLIP says of whole images"
        " (distill.weighting.seen); more is refused.",
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
    def losses(self) -> LossSettings:
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
