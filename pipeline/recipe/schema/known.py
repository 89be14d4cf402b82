"""The section `known` of a recipe: images that are none of the classes."""

from typing import Literal

from pydantic import Field

from pipeline.settings import NonEmpty, Settings


class KnownSettings(Settings):
    """How the bundle tells apart images that are unlike the training data."""

    score: Literal["none", "energy", "max_softmax"] = Field(
        default="none",
        description="energy: log of the sum of the exponentials of the logits; max_softmax: the largest probability; "
        "none: the bundle does not tell.",
    )
    false_alarms: float = Field(
        default=0.05,
        ge=0.0001,
        le=0.5,
        description="Share of images like the training data that may be refused; the threshold follows from it on "
        "validation.",
    )
    foreign: NonEmpty | None = Field(
        default=None,
        description="A folder of images of other kinds, of which the share that is refused is measured; null: none.",
    )
