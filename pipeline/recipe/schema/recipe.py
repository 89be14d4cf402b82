"""The schema of a recipe: every key, its meaning, its bounds and its default. No key is without effect."""

import difflib
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from exporters.student.architectures.names import nearest_names
from pipeline.catalog import class_sets, clip_models, prompt_names
from pipeline.recipe.schema.clip_names import clip_list_is_complete, shipped_clip_names
from pipeline.recipe.schema.distill import (
    IMAGE_TOWER_WEIGHTINGS,
    VIEW_KINDS,
    CeSettings,
    ContrastSettings,
    DistillSettings,
    EdgeView,
    FeatureSettings,
    HighFrequencyView,
    LogitsSettings,
    ViewSettings,
    WeightingSettings,
)
from pipeline.recipe.schema.export import ExportSettings, ParitySettings
from pipeline.recipe.schema.settings import (
    AugmentSettings,
    DataSettings,
    FitSettings,
    Licence,
    Model,
    NonEmpty,
    RandAugmentSettings,
    ScheduleSettings,
    Settings,
    TextFitSettings,
    TrainSettings,
    VisualFitSettings,
    any_of,
    file_or,
    problem,
)
from pipeline.recipe.schema.weights import (
    MEAN,
    SHA256,
    STD,
    WEIGHTS_KEY,
    Mean,
    Sha256,
    Std,
    check_normalisation,
    check_sha256,
    check_weights_file,
    fill_in_hashes,
    names_file,
)
from pipeline.yaml_document import dump_yaml

__all__ = [
    "VIEW_KINDS",
    "AugmentSettings",
    "BundleSettings",
    "CeSettings",
    "ContrastSettings",
    "DataSettings",
    "DistillSettings",
    "EdgeView",
    "ExportSettings",
    "FeatureSettings",
    "FitSettings",
    "HighFrequencyView",
    "LogitsSettings",
    "ParitySettings",
    "RandAugmentSettings",
    "Recipe",
    "ScheduleSettings",
    "Settings",
    "StudentSettings",
    "TeacherSettings",
    "TextFitSettings",
    "TextTeacherSettings",
    "TrainSettings",
    "ValidateSettings",
    "ViewSettings",
    "VisualFitSettings",
    "VisualTeacherSettings",
    "WeightingSettings",
]

_Weights = Annotated[str, file_or(("imagenet", "none"))]
_CLASSIFIER = "The linear layer that gives the logits, by its name in the network, such as fc; null: searched for."


class VisualTeacherSettings(Settings):
    """The strong image classifier that the student learns from."""

    model: Model = Field(default="resnet50", description="A torchvision, timm or CIFAR architecture by name.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Passed on to the architecture.")
    weights: _Weights = Field(
        default="imagenet", description="What it starts from: imagenet, none, or the path of a file."
    )
    sha256: Sha256 | None = Field(default=None, description=SHA256)
    weights_key: NonEmpty | None = Field(default=None, description=WEIGHTS_KEY)
    mean: Mean | None = Field(default=None, description=MEAN)
    std: Std | None = Field(default=None, description=STD)
    image_size: int | None = Field(
        default=None,
        ge=16,
        le=1024,
        description="Side of the square that it sees, pixels; each view is resized to it. null: data.image_size.",
    )
    classifier: NonEmpty | None = Field(default=None, description=_CLASSIFIER)
    fit: VisualFitSettings | None = Field(
        default=None, description="How it is trained on the data; null: used as it is."
    )

    @model_validator(mode="after")
    def _has_learned_something(self) -> Self:
        if self.weights == "none" and self.fit is None:
            raise problem("weights", "expected imagenet or a file where @fit is null, got none", "fit")
        return self

    @model_validator(mode="after")
    def _weights_are_described(self) -> Self:
        check_normalisation(self.mean, self.std)
        check_sha256(self.weights, self.sha256)
        check_weights_file(self.weights, self.weights_key)
        return self


class TextTeacherSettings(Settings):
    """CLIP: its text tower gives prompts their embeddings, its image tower tells which view shows the class best."""

    model: NonEmpty = Field(
        default="ViT-B-32",
        description="An open_clip model, or a model description: a name of configs/clip or a .json path.",
    )
    weights: NonEmpty = Field(
        default="laion2b_s34b_b79k",
        description="An open_clip tag, a checkpoint file, an embeddings file (.npz), or fit: trained on the data.",
    )
    sha256: Sha256 | None = Field(default=None, description=SHA256)
    prompts: Annotated[str, file_or(prompt_names())] = Field(
        default="generic", description=f"The templates: {', '.join(prompt_names())}, or the path of a file."
    )
    class_names: Annotated[str, file_or(class_sets())] | None = Field(
        default=None,
        description="What prompts call the classes; null: by the data set's own names; "
        f"a set ({', '.join(class_sets())}) or the path of a file (YAML, JSON, CSV, text): label and words, or a list.",
    )
    anchors: NonEmpty | None = Field(
        default=None, description="An .npz file of text anchors for the contrast (line 11)."
    )
    fit: TextFitSettings = Field(default_factory=TextFitSettings, description="weights: fit only: how it is trained.")

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
    def _hash_is_of_a_file(self) -> Self:
        check_sha256(self.weights, self.sha256)
        return self


class TeacherSettings(Settings):
    """The two teachers."""

    visual: VisualTeacherSettings = Field(default_factory=VisualTeacherSettings, description="The visual teacher.")
    text: TextTeacherSettings = Field(default_factory=TextTeacherSettings, description="The text teacher.")
    on_weak: Literal["warn", "fail"] = Field(
        default="warn",
        description="What a weak teacher leads to (on validation, it is at chance level, fusion does not help, or it is"
        " below student.baseline): a warning, or the end of the run before the student is trained (exit 3).",
    )


class StudentSettings(Settings):
    """The small classifier that ships."""

    model: Model = Field(default="mobilenet_v2", description="A torchvision, timm or CIFAR architecture by name.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Passed on to the architecture.")
    weights: _Weights = Field(default="none", description="What it starts from: none, imagenet, or the path of a file.")
    sha256: Sha256 | None = Field(default=None, description=SHA256)
    weights_key: NonEmpty | None = Field(default=None, description=WEIGHTS_KEY)
    mean: Mean | None = Field(default=None, description=MEAN)
    std: Std | None = Field(default=None, description=STD)
    classifier: NonEmpty | None = Field(default=None, description=_CLASSIFIER)
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


class ValidateSettings(Settings):
    """Gates on the validation split; a student that misses one does not ship (exit 3)."""

    min_top1: float | None = Field(default=None, ge=0, le=1, description="Least accuracy; null: above chance level.")
    max_drop_from_teacher: float | None = Field(
        default=None, ge=0, le=1, description="Largest difference to the teacher's accuracy; null: no gate."
    )


class BundleSettings(Settings):
    """What the bundle says of itself."""

    licence: Licence | None = Field(
        default=None, description="Of the shipped weights, as an SPDX identifier; null: not stated."
    )


class Recipe(Settings):
    """From a data set and two teachers to one small classifier that is safe to ship."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] = Field(
        default="recipe", description="Names the run and the bundle; default: the file's name without .yaml."
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="Of initialisation, order and augmentation.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="Where training runs.")
    data: DataSettings = Field(default_factory=DataSettings, description="The images.")
    teacher: TeacherSettings = Field(default_factory=TeacherSettings, description="The two teachers.")
    student: StudentSettings = Field(default_factory=StudentSettings, description="The student.")
    distill: DistillSettings = Field(default_factory=DistillSettings, description="The distillation.")
    train: TrainSettings = Field(default_factory=TrainSettings, description="The student's schedule.")
    # Not called `validate` in Python: pydantic's models have a method of that name.
    gates: ValidateSettings = Field(default_factory=ValidateSettings, alias="validate", description="The gates.")
    export: ExportSettings = Field(default_factory=ExportSettings, description="What is exported.")
    parity: ParitySettings = Field(default_factory=ParitySettings, description="The proof of equality.")
    bundle: BundleSettings = Field(default_factory=BundleSettings, description="The bundle.")

    @model_validator(mode="after")
    def _weighting_has_its_tower(self) -> Self:
        needs_images = self.distill.method == "tmkd" and self.distill.weighting.by in IMAGE_TOWER_WEIGHTINGS
        if needs_images and not self.teacher.text.has_image_tower:
            raise problem(
                "distill.weighting.by",
                "expected teacher_confidence, text or uniform, because the embeddings file of @teacher.text.weights "
                f"has no image tower, got {self.distill.weighting.by}",
                "teacher.text.weights",
                "distill.method",
            )
        return self

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default written out, as plain YAML and JSON values."""
        values = self.model_dump(mode="json", by_alias=True)
        values["data"]["resize"] = self.data.resize_to
        losses = self.distill.losses
        values["distill"]["ce"]["weight"] = losses.ce_weight
        values["distill"]["feature"]["weight"] = losses.feature_weight
        values["distill"]["logits"] |= {"weight": losses.logits_weight, "temperature": losses.logits_temperature}
        values["distill"]["warmup"] = self.distill.warmup_passes(self.train.epochs)
        values["train"]["decay_norms_and_biases"] = self.train.decays_norms_and_biases
        values["teacher"]["text"]["fit"]["decay_norms_and_biases"] = self.teacher.text.fit.decays_norms_and_biases
        if self.teacher.visual.fit is not None:
            decays = self.teacher.visual.fit.decays_norms_and_biases
            values["teacher"]["visual"]["fit"]["decay_norms_and_biases"] = decays
        return values

    def to_yaml(self) -> str:
        """`resolved()` as the text of `recipe.lock.yaml`, with the hash of each weights file; it gives the same run."""
        values = self.resolved()
        fill_in_hashes(values)
        return dump_yaml(values)
