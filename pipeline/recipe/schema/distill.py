"""The section `distill` of a recipe: the method, the views, how they are weighed, and the losses."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from exporters.core.errors import UsageError
from pipeline.distill.registry import METHODS, base_methods
from pipeline.distill.settings import LossSettings, resolve_losses
from pipeline.recipe.schema.settings import Settings, one_of, problem


class EdgeView(Settings):
    """Line 1: the image with its edges enhanced."""

    kind: Literal["edge"] = Field(default="edge", description="May be left out where the view is called edge.")
    strength: float = Field(default=0.25, ge=0, le=4, description="λ_e; 0 gives the image itself.")
    operator: Literal["sobel", "scharr", "laplacian"] = Field(default="sobel", description="The derivative.")
    mode: Literal["enhance", "replace"] = Field(default="enhance", description="replace: the bare edge map.")


class HighFrequencyView(Settings):
    """Line 2: the image with its fine texture enhanced."""

    kind: Literal["high_frequency"] = Field(
        default="high_frequency", description="May be left out where the view is called high_frequency."
    )
    cutoff: float = Field(default=0.25, ge=0, le=1, description="r, as a share of the Nyquist frequency.")
    strength: float = Field(default=0.5, ge=0, le=4, description="λ_h; 0 gives the image itself.")
    filter: Literal["fft", "gaussian"] = Field(default="fft", description="fft: a sharp cut; gaussian: a soft one.")
    mode: Literal["enhance", "replace"] = Field(default="enhance", description="replace: the bare high frequencies.")


ViewSettings = Annotated[EdgeView | HighFrequencyView, Field(discriminator="kind")]
ViewName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]
VIEW_KINDS = ("edge", "high_frequency")
IMAGE_TOWER_WEIGHTINGS = ("image_text", "random_prompts")
"""The weightings for which CLIP looks at images."""


def _default_views() -> dict[str, EdgeView | HighFrequencyView]:
    return {"edge": EdgeView(), "high_frequency": HighFrequencyView()}


def _fill_kinds(views: Any) -> Any:
    """Drop the views that are null, and name the kind of those that are called as their kind."""
    if not isinstance(views, dict):
        return views
    unknown = [str(name) for name, view in views.items() if view is None and name not in VIEW_KINDS]
    if unknown:
        raise problem(
            unknown[0], f"null removes a view, and none is called so; expected one of {', '.join(VIEW_KINDS)}"
        )
    return {
        name: {"kind": name, **view} if isinstance(view, dict) and name in VIEW_KINDS else view
        for name, view in views.items()
        if view is not None
    }


def _not_rgb(views: dict[str, Any]) -> dict[str, Any]:
    if "rgb" in views:
        raise problem("rgb", "expected another name: the image itself is always the view rgb")
    return views


class WeightingSettings(Settings):
    """Lines 5 and 6: how much each view of an image counts."""

    by: Literal["image_text", "teacher_confidence", "text", "uniform", "random_prompts"] = Field(
        default="image_text",
        description="What scores a view: CLIP, the visual teacher, the prompts alone, nothing, "
        "or (a control) CLIP with prompts that say nothing.",
    )
    score: Literal["log_probability", "cosine"] = Field(
        default="log_probability", description="by: image_text or random_prompts only."
    )
    temperature: float = Field(default=1.0, gt=0, description="τ_w; large values give every view the same weight.")


class CeSettings(Settings):
    """The cross-entropy with the true labels."""

    weight: float | None = Field(default=None, ge=0, description="μ; null: the base's own.")


class FeatureSettings(Settings):
    """Line 9: the loss on feature maps."""

    weight: float | None = Field(default=None, ge=0, description="β; null: the base's own.")
    pool: int = Field(default=2, ge=1, le=32, description="Class activation maps are pooled to pool × pool.")
    normalise: bool = Field(default=True, description="Scale each class activation map to length 1 first.")
    bank: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="crd only: negatives of each image, from a memory of all training images; 0: those of the batch.",
    )


class LogitsSettings(Settings):
    """Line 10: the loss on logits."""

    weight: float | None = Field(default=None, ge=0, description="α; null: the base's own.")
    temperature: float | None = Field(default=None, gt=0, description="T; null: the base's own.")
    target_weight: float = Field(
        default=1.0, ge=0, description="dkd only: weight of the part about the true class (TCKD)."
    )
    non_target_weight: float = Field(
        default=8.0, ge=0, description="dkd only: weight of the part about the other classes (NCKD), dkd's β."
    )


class ContrastSettings(Settings):
    """Line 11: the contrast of the student's features with the text anchors."""

    weight: float = Field(default=0.8, ge=0, description="γ; 0 turns it off.")
    temperature: float = Field(default=0.07, gt=0, description="τ.")
    centre: bool = Field(default=True, description="Subtract the mean of the anchors over the classes.")


class TeacherCacheSettings(Settings):
    """What the teachers saw is kept on disk, and the augmentation is replayed in a cycle."""

    passes: int = Field(
        default=0, ge=0, le=10_000, description="Augmentation passes in the cycle; 0: no cache, no replay."
    )


_WEIGHTS = ("ce.weight", "feature.weight", "logits.weight", "contrast.weight")
METHOD_NAMES = list(METHODS)
BASE_NAMES = list(base_methods())


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
    ce: CeSettings = Field(default_factory=CeSettings, description="The cross-entropy.")
    views: Annotated[dict[ViewName, ViewSettings], BeforeValidator(_fill_kinds), AfterValidator(_not_rgb)] = Field(
        default_factory=_default_views,
        description="The views beside rgb, by name; null removes one.",
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
        description="Passes over which β and γ rise linearly; null: a tenth of train.epochs, 20 at most.",
    )

    @model_validator(mode="after")
    def _teaches_something(self) -> Self:
        try:
            resolve_losses(self)
        except UsageError as error:
            raise problem("method", error.message.removeprefix("distill: "), *_WEIGHTS) from error
        return self

    @property
    def losses(self) -> LossSettings:
        """The weights of the losses, those that are left open filled in with the method's own."""
        return resolve_losses(self)

    def warmup_passes(self, epochs: int) -> int:
        """Line 12: the passes over which β and γ rise, of `epochs` in all."""
        return min(20, epochs // 10) if self.warmup is None else self.warmup
