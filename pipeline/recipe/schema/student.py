"""The section `student` of a recipe."""

from typing import Any, Self

from pydantic import Field, model_validator

from pipeline.recipe.schema.weights import (
    CLASSIFIER,
    MEAN,
    SHA256,
    STD,
    WEIGHTS_KEY,
    Mean,
    Model,
    Sha256,
    Std,
    Weights,
    check_normalisation,
    check_sha256,
    check_weights_file,
)
from pipeline.settings import NonEmpty, Settings


class StudentSettings(Settings):
    """The small classifier that ships."""

    model: Model = Field(default="mobilenet_v2", description="A torchvision, timm or CIFAR architecture by name.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Arguments of the architecture.")
    weights: Weights = Field(default="none", description="Initial weights: none, imagenet, or the path of a file.")
    sha256: Sha256 | None = Field(default=None, description=SHA256)
    weights_key: NonEmpty | None = Field(default=None, description=WEIGHTS_KEY)
    mean: Mean | None = Field(default=None, description=MEAN)
    std: Std | None = Field(default=None, description=STD)
    classifier: NonEmpty | None = Field(default=None, description=CLASSIFIER)
    baseline: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Its validation accuracy from labels alone, as an earlier run found it: what a teacher must reach.",
    )

    @model_validator(mode="after")
    def _weights_are_described(self) -> Self:
        check_normalisation(self.mean, self.std)
        check_sha256(self.weights, self.sha256)
        check_weights_file(self.weights, self.weights_key)
        return self
