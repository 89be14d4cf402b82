"""The section `teacher.text.tower` of a recipe: another network as the image tower of a fitted CLIP."""

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pipeline.recipe.schema.weights import NetworkSettings, Weights, known_model
from pipeline.settings import NonEmpty, problem

TEACHER = "teacher"
"""The name by which a recipe means the visual teacher of the run."""


def _tower_model(name: str) -> str:
    if name == TEACHER:
        return name
    try:
        return known_model(name)
    except PydanticCustomError as error:
        context = dict(error.context or {})
        context["expected"] = f"{TEACHER} (the visual teacher of this run) or {context['expected']}"
        raise PydanticCustomError("unexpected", "expected {expected}", context) from error


class TowerSettings(NetworkSettings):
    """A network that looks at images in place of CLIP's own image tower: frozen, only a projection of it is learnt."""

    model: Annotated[NonEmpty, AfterValidator(_tower_model)] = Field(
        default=TEACHER,
        description="A torchvision, timm or CIFAR architecture by name, or teacher: the visual teacher of this run.",
    )
    weights: Weights = Field(default="imagenet", description="Its weights: imagenet, or the path of a file.")
    image_size: int | None = Field(
        default=None,
        ge=16,
        le=1024,
        description="Side of its square input, in pixels; each view is resized to it. null: data.image_size.",
    )

    @property
    def is_teacher(self) -> bool:
        """Whether it is the visual teacher of the run, as its stage leaves it."""
        return self.model == TEACHER

    @model_validator(mode="after")
    def _has_learned_something(self) -> Self:
        if not self.is_teacher and self.weights == "none":
            raise problem("weights", "expected imagenet or a file for a tower that is not trained, got none", "model")
        return self

    @model_validator(mode="after")
    def _teacher_is_described_elsewhere(self) -> Self:
        if self.is_teacher:
            for key, field in type(self).model_fields.items():
                if key != "model" and getattr(self, key) != field.get_default(call_default_factory=True):
                    raise problem(
                        key, f"expected nothing for @model {TEACHER}, which teacher.visual describes", "model"
                    )
        return self

    @model_serializer(mode="wrap")
    def _only_what_counts(self, everything: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"model": TEACHER} if self.is_teacher else everything(self)


def _by_name(value: Any) -> Any:
    """A name alone stands for the network with published weights."""
    return {"model": value} if isinstance(value, str) else value


Tower = Annotated[TowerSettings | None, BeforeValidator(_by_name, json_schema_input_type=str | TowerSettings | None)]
"""A tower as a section of keys, or by its name alone."""
