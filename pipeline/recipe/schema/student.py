"""The section `student` of a recipe."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.recipe.schema.weights import Model, NetworkSettings, Weights


class StudentSettings(NetworkSettings):
    """The small classifier that ships."""

    model: Model = Field(default="mobilenet_v2", description="A torchvision, timm or CIFAR architecture by name.")
    weights: Weights = Field(default="none", description="Initial weights: none, imagenet, or the path of a file.")
    baseline: Literal["auto", "full"] | Annotated[float, Field(ge=0, le=1)] | None = Field(
        default="auto",
        description="What distillation is held against: the same student from labels alone. auto: trained for a tenth"
        " of train.epochs; full: for all of them; a number: its validation accuracy, as an earlier run found it;"
        " null: nothing.",
    )
