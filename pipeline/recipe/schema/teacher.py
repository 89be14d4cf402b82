"""The section `teacher` of a recipe: the visual teacher, the text teacher, and how each is trained."""

import difflib
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from exporters.student.architectures.names import nearest_names
from pipeline.catalog import class_sets, clip_models, prompt_names
from pipeline.models.deployment.settings import Runtime
from pipeline.recipe.schema.clip_names import clip_list_is_complete, shipped_clip_names
from pipeline.recipe.schema.tower import Tower
from pipeline.recipe.schema.weights import (
    SHA256,
    Model,
    NetworkSettings,
    Sha256,
    Weights,
    check_sha256,
    names_file,
)
from pipeline.settings import NonEmpty, Settings, any_of, file_or, problem
from pipeline.training.settings import FitSettings, NetworkFitSettings


class VisualFitSettings(NetworkFitSettings):
    """The schedule of the visual teacher."""

    views: bool | None = Field(
        default=None,
        description="Show each image in one view of distill.views or unchanged, sampled again in each epoch;"
        " null: where distill.method uses the views.",
    )


class TextFitSettings(FitSettings):
    """The schedule of a small CLIP that is trained from scratch with the contrastive loss."""

    epochs: int = Field(default=20, ge=1, le=100_000, description="Epochs over the training split.")
    optimizer: Literal["sgd", "adamw"] = Field(default="adamw", description="The optimizer.")
    lr: float = Field(default=1e-3, gt=0, le=100, description="Highest learning rate.")
    weight_decay: float = Field(default=0.05, ge=0, le=10, description="Weight decay.")


class VisualTeacherSettings(NetworkSettings):
    """The strong image classifier that the student learns from."""

    model: Model = Field(default="resnet50", description="A torchvision, timm or CIFAR architecture by name.")
    weights: Weights = Field(default="imagenet", description="Initial weights: imagenet, none, or the path of a file.")
    image_size: int | None = Field(
        default=None,
        ge=16,
        le=1024,
        description="Side of its square input, in pixels; each view is resized to it. null: data.image_size.",
    )
    fit: VisualFitSettings | None = Field(default=None, description="How it is trained on the data; null: not trained.")
    shard: bool = Field(
        default=False,
        description="Shard its parameters over all processes once it is frozen (docs/distributed.md), as for a teacher"
        " that does not fit one device; with one process of no effect.",
    )

    @model_validator(mode="after")
    def _has_learned_something(self) -> Self:
        if self.weights == "none" and self.fit is None:
            raise problem("weights", "expected imagenet or a file where @fit is null, got none", "fit")
        return self

    @model_validator(mode="after")
    def _preset_is_chosen(self) -> Self:
        if self.fit is not None:
            # In place, because what a recipe says and what a stage reads should be one value.
            object.__setattr__(self, "fit", self.fit.chosen(self.weights != "none", self.model))
        return self


class TextTeacherSettings(Settings):
    """CLIP: its text tower gives prompts their embeddings, its image tower finds the view that shows the class best."""

    model: NonEmpty = Field(
        default="ViT-B-32",
        description="An open_clip model, or a model description: a name of configs/clip or a .json path.",
    )
    weights: NonEmpty = Field(
        default="laion2b_s34b_b79k",
        description="An open_clip tag, a checkpoint file, an embeddings file (.npz), or fit: train it on the data.",
    )
    sha256: Sha256 | None = Field(default=None, description=SHA256)
    prompts: Annotated[str, file_or(prompt_names())] = Field(
        default="generic", description=f"Prompt templates: {', '.join(prompt_names())}, or the path of a file."
    )
    class_names: Annotated[str, file_or(class_sets())] | None = Field(
        default=None,
        description="Names of the classes in prompts; null: the data set's own names; "
        f"a set ({', '.join(class_sets())}) or the path of a file (YAML, JSON, CSV, text): label and words, or a list.",
    )
    anchors: NonEmpty | None = Field(
        default=None,
        description="An .npz file of text anchors: for the contrast, and with a tower in place of the prompts.",
    )
    tower: Tower = Field(
        default=None,
        description="weights: fit only: a trained network as the image tower, whose pooled features are projected into"
        " the text space; null: the model's own tower, trained from scratch.",
    )
    fit: TextFitSettings = Field(default_factory=TextFitSettings, description="weights: fit only: how it is trained.")
    shard: bool = Field(
        default=False,
        description="Shard the parameters of its image tower over all processes once it is frozen, as"
        " teacher.visual.shard does those of the visual teacher.",
    )

    @property
    def has_text_tower(self) -> bool:
        """Whether it can read prompts: of an embeddings file, or of anchors that a tower is fitted to, it cannot."""
        return self.has_image_tower and (self.tower is None or self.anchors is None)

    @property
    def has_image_tower(self) -> bool:
        """Whether it can look at images: an embeddings file holds texts only."""
        return PurePath(self.weights).suffix != ".npz"

    @model_validator(mode="after")
    def _fit_needs_a_small_model(self) -> Self:
        described = self.model in clip_models() or PurePath(self.model).suffix == ".json"
        if self.weights == "fit" and not described:
            names = ", ".join(clip_models())
            raise problem(
                "model",
                f"expected a model description ({names}, or a .json path) for @weights fit, got {self.model}",
                "weights",
            )
        return self

    @model_validator(mode="after")
    def _open_clip_has_it(self) -> Self:
        models, described = shipped_clip_names(), self.model in clip_models() or PurePath(self.model).suffix == ".json"
        if not clip_list_is_complete():
            return self
        if not described and self.model not in models:
            nearest = any_of(nearest_names(self.model, [*models, *clip_models()]) or ["one of open_clip.list_models()"])
            raise problem(
                "model",
                f"expected a model of open_clip, {any_of(clip_models())}, or the path of a .json, got {self.model!r};"
                f" did you mean {nearest}?",
            )
        tags = models.get(self.model, ())
        if self.weights != "fit" and not names_file(self.weights) and self.weights not in tags:
            near = difflib.get_close_matches(self.weights, tags, n=3, cutoff=0.5)
            some = near or tags[:6]
            more = f" and {len(tags) - len(some)} more" if len(tags) > len(some) else ""
            known = f"a tag of open_clip ({', '.join(some)}{more}) or a file" if tags else "fit or a file"
            raise problem("weights", f"expected {known} for @model {self.model}, got {self.weights!r}", "model")
        return self

    @model_validator(mode="after")
    def _tower_is_fitted(self) -> Self:
        if self.tower is not None and self.weights != "fit":
            raise problem("tower", f"expected null for @weights {self.weights}, which has one of its own", "weights")
        return self

    @model_validator(mode="after")
    def _sharded_tower_is_its_own(self) -> Self:
        if self.shard and self.tower is not None and self.tower.is_teacher:
            raise problem(
                "shard", "expected false for @tower teacher, which is whole in each process, got true", "tower"
            )
        return self

    @model_validator(mode="after")
    def _hash_is_of_a_file(self) -> Self:
        check_sha256(self.weights, self.sha256)
        return self


class TeacherSettings(Settings):
    """The two teachers."""

    visual: VisualTeacherSettings = Field(default_factory=VisualTeacherSettings, description="The visual teacher.")
    text: TextTeacherSettings = Field(default_factory=TextTeacherSettings, description="The text teacher.")
    runtime: Runtime = Field(
        default="auto",
        description="What runs the frozen teachers while the student is trained and in stage fusion; auto: the fastest,"
        " by a rule, that gives the same outputs.",
    )
    on_weak: Literal["warn", "fail"] = Field(
        default="warn",
        description="Response to a weak teacher (on validation, it is at chance level, fusion does not help, or it"
        " is below student.baseline): a warning, or the end of the run before the student is trained (exit 3).",
    )

    @model_validator(mode="after")
    def _pytorch_shards(self) -> Self:
        for key, teacher in (("visual.shard", self.visual), ("text.shard", self.text)):
            if teacher.shard and self.runtime not in ("auto", "eager", "torch"):
                raise problem("runtime", f"expected auto, eager or torch where @{key} is true, got {self.runtime}", key)
        return self

    @model_validator(mode="after")
    def _tower_is_whole(self) -> Self:
        if self.visual.shard and self.text.tower is not None and self.text.tower.is_teacher:
            raise problem(
                "visual.shard",
                "expected false for @text.tower teacher, which is whole in each process, got true",
                "text.tower",
            )
        return self
