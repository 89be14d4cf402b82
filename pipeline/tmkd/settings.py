"""The settings of the view weighting."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.settings import Settings

IMAGE_TOWER_WEIGHTINGS = ("image_text", "product", "random_prompts")
"""The weightings for which CLIP looks at images."""


class WeightingSettings(Settings):
    """How much each view of an image counts."""

    by: Literal["image_text", "teacher_confidence", "product", "text", "uniform", "random_prompts"] = Field(
        default="product",
        description="What scores a view: CLIP, the visual teacher, both (product), the prompts alone, nothing, "
        "or (a control) CLIP with prompts that say nothing.",
    )
    score: Literal["log_probability", "cosine"] = Field(
        default="log_probability", description="by: image_text, product or random_prompts only: what CLIP says."
    )
    seen: Literal["image", "crop"] = Field(
        default="crop",
        description="by: image_text, product or random_prompts only: what CLIP looks at. crop: each crop that the"
        " student sees; image: the whole image, once for a training.",
    )
    standardise: bool = Field(
        default=False,
        description="Take off each view's mean score and divide by its spread, both over training images, so that a"
        " view that scores higher in general is not preferred for every image.",
    )
    temperature: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        default=0.3,
        description="τ_w; large values give every view the same weight; auto: fitted on validation.",
    )

    @property
    def is_fitted(self) -> bool:
        """Whether something of it is measured before the student is trained, by the stage `fusion`."""
        return self.by != "uniform" and (self.standardise or self.temperature == "auto")
