"""The settings of the view weighting."""

from typing import Literal

from pydantic import Field

from pipeline.settings import Settings

IMAGE_TOWER_WEIGHTINGS = ("image_text", "random_prompts")
"""The weightings for which CLIP looks at images."""


class WeightingSettings(Settings):
    """How much each view of an image counts."""

    by: Literal["image_text", "teacher_confidence", "text", "uniform", "random_prompts"] = Field(
        default="image_text",
        description="What scores a view: CLIP, the visual teacher, the prompts alone, nothing, "
        "or (a control) CLIP with prompts that say nothing.",
    )
    score: Literal["log_probability", "cosine"] = Field(
        default="log_probability", description="by: image_text or random_prompts only."
    )
    temperature: float = Field(default=1.0, gt=0, description="τ_w; large values give every view the same weight.")
