"""The section `student` of a recipe."""

from pydantic import Field

from pipeline.recipe.schema.weights import Model, NetworkSettings, Weights


class StudentSettings(NetworkSettings):
    """The small classifier that ships."""

    model: Model = Field(default="mobilenet_v2", description="A torchvision, timm or CIFAR architecture by name.")
    weights: Weights = Field(default="none", description="Initial weights: none, imagenet, or the path of a file.")
    baseline: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Its validation accuracy from labels alone, as an earlier run found it: what a teacher must reach.",
    )
