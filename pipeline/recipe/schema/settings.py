"""The parts of a recipe that several sections share: the base class, data, and training schedules."""

from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from exporters.core.errors import UsageError
from exporters.core.licences import check_licence
from exporters.images.sizes import default_resize
from exporters.student.architectures import UnknownNameError, check_name
from pipeline.data.registry import DATASETS, FAMILY_PATTERNS, dataset_names, is_dataset
from pipeline.data.torchvision_names import TORCHVISION_SETS, torchvision_set

SYNTHETIC_DATASETS = frozenset({"birds_demo"})
"""Data sets that are made on first use and so need no `data.root`."""


NonEmpty = Annotated[str, StringConstraints(min_length=1)]


class Settings(BaseModel):
    """One section of a recipe: unknown keys are errors, values are never coerced, instances never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class RandAugmentSettings(Settings):
    """RandAugment (Cubuk et al. 2020): so many operations of fourteen, all with one magnitude."""

    operations: int = Field(default=2, ge=1, le=14, description="N: operations on an image, drawn one by one.")
    magnitude: int = Field(default=9, ge=0, le=30, description="M: their strength.")


def problem(at: str, message: str, *involves: str) -> PydanticCustomError:
    """A mistake that shows only when several keys are read together.

    Args:
        at: dotted path of the key to blame, relative to the model that raises.
        message: what was expected and what was found; other keys are written `@path`, relative to the same model, and
            shown with their full path.
        involves: dotted paths of the other keys that the check read.
    """
    return PydanticCustomError("cross_field", "{message}", {"message": message, "at": at, "involves": involves})  # type: ignore[arg-type]


def one_of(names: Sequence[str]) -> AfterValidator:
    """A check that a text is one of the names."""

    def check(text: str) -> str:
        if text not in names:
            raise unexpected(any_of(names), names)
        return text

    return AfterValidator(check)


def file_or(names: Sequence[str]) -> AfterValidator:
    """A check that a text is one of the names or may be a file, so that a slip in a name is not taken for a file."""

    def check(text: str) -> str:
        if text not in names and not PurePath(text).suffix and "/" not in text and "\\" not in text:
            raise unexpected(f"{', '.join(names)} or a file such as ./name.suffix", names)
        return text

    return AfterValidator(check)


def unexpected(expected: str, names: Sequence[str], nearest: Sequence[str] | None = None) -> PydanticCustomError:
    """The mistake of another value than these; `nearest` are those that may be meant, found from `names` if None."""
    context = {"expected": expected, "names": list(names), "nearest": None if nearest is None else list(nearest)}
    return PydanticCustomError("unexpected", "expected {expected}", context)


def _known_model(name: str) -> str:
    try:
        check_name(name)
    except UnknownNameError as error:
        raise unexpected("a model of torchvision, timm or cifar", (), error.nearest) from error
    except UsageError as error:
        raise unexpected(
            "a model of torchvision, timm or cifar, such as resnet18, timm:convnext_atto or cifar:resnet20", ()
        ) from error
    return name


Model = Annotated[NonEmpty, AfterValidator(_known_model)]
"""A network by name."""


def _known_licence(text: str) -> str:
    try:
        return check_licence(text)
    except UsageError as error:
        raise unexpected("an SPDX licence identifier such as Apache-2.0 or CC-BY-NC-4.0", ()) from error


Licence = Annotated[NonEmpty, AfterValidator(_known_licence)]


def any_of(names: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def _known_dataset(text: str) -> str:
    if not is_dataset(text):
        raise unexpected(any_of(dataset_names()), dataset_names())
    family, _, member = text.partition(":")
    if family == "torchvision":
        try:
            torchvision_set(member)
        except UsageError as error:
            known = [f"torchvision:{name}" for name in TORCHVISION_SETS]
            raise unexpected("a classification data set of torchvision", known) from error
    return text


class AugmentSettings(Settings):
    """How a training image is varied; the same draw is used for the student and every view of the teacher."""

    crop: Literal["random", "resized", "shift", "none"] = Field(
        default="resized",
        description="random: a random square of image_size from the resized image; resized: a random area of it, "
        "scaled to image_size; shift: the image padded, then a random square; none: the centre crop.",
    )
    scale: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]], Strict(False)] = (
        Field(default=(0.5, 1.0), description="crop: resized only: smallest and largest share of the image's area.")
    )
    padding: int = Field(default=4, ge=1, le=64, description="crop: shift only: pixels added on each side.")
    flip: bool = Field(default=True, description="Mirror half of the images left to right.")
    jitter: float = Field(
        default=0.0, ge=0, le=1, description="Strength of the change of brightness, contrast, saturation."
    )
    randaugment: RandAugmentSettings | None = Field(default=None, description="RandAugment; null: none.")
    erasing: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the images in which a rectangle is filled with the image's mean colour.",
    )

    @model_validator(mode="after")
    def _ordered_scale(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise problem("scale", f"expected the smaller share first, got {list(self.scale)}")
        return self


class DataSettings(Settings):
    """The images: which, where, how they are split, sized and varied."""

    dataset: Annotated[
        str,
        AfterValidator(_known_dataset),
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": sorted(DATASETS), "type": "string"},
                    *({"pattern": pattern, "type": "string"} for pattern in FAMILY_PATTERNS.values()),
                ]
            }
        ),
    ] = Field(default="birds_demo", description="A data set by name.")
    root: NonEmpty | None = Field(default=None, description="Its folder, relative to the working directory.")
    labels: NonEmpty | None = Field(
        default=None, description="dataset: folder only: a table (CSV) of path, label and split, relative to root."
    )
    licence: Licence | None = Field(
        default=None,
        description="Of the images, as an SPDX identifier; null: what the data set itself states, else not stated.",
    )
    image_size: int = Field(
        default=224, ge=16, le=1024, description="Side of the square image that the student sees, pixels."
    )
    resize: int | None = Field(
        default=None,
        ge=16,
        le=2048,
        description="Shorter side before the crop; null: image_size below 96 px, else 8/7 of it (224 from 256).",
    )
    interpolation: Literal["bilinear", "bicubic"] = Field(
        default="bilinear", description="How images are resized, in training and in what ships."
    )
    validation: float = Field(
        default=0.1, gt=0, le=0.5, description="Fraction split from training, stratified; every choice is made on it."
    )
    train_images: int | None = Field(
        default=None, ge=1, description="So many training images, stratified, after the split; null: all."
    )
    test: float = Field(
        default=0.2,
        gt=0,
        le=0.5,
        description="dataset: folder or torchvision:<Class> without a test split: the fraction set aside, stratified.",
    )
    split_seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of the splits, apart from `seed`.")
    on_error: Literal["fail", "skip"] = Field(default="fail", description="What an unreadable image does.")
    on_leak: Literal["fail", "drop"] = Field(
        default="fail", description="What an image does that stands in two splits; drop: its training copy is left out."
    )
    workers: Annotated[int, Field(ge=0, le=256)] | Literal["auto"] = Field(
        default="auto", description="Processes that decode images; 0: none beside the main one."
    )
    augment: AugmentSettings = Field(default_factory=AugmentSettings, description="How training images are varied.")

    @property
    def resize_to(self) -> int:
        """The shorter side before the crop, with the default filled in."""
        return default_resize(self.image_size) if self.resize is None else self.resize

    @model_validator(mode="after")
    def _resize_holds_the_crop(self) -> Self:
        if self.resize is not None and self.resize < self.image_size:
            raise problem(
                "resize", f"expected at least @image_size ({self.image_size}), got {self.resize}", "image_size"
            )
        return self

    @model_validator(mode="after")
    def _labels_are_read(self) -> Self:
        if self.labels is not None and self.dataset != "folder":
            raise problem("labels", f"expected nothing, since @dataset is {self.dataset}, not folder", "dataset")
        return self

    @model_validator(mode="after")
    def _root_is_of_a_kind(self) -> Self:
        if self.root is not None and "dataset" not in self.model_fields_set:
            raise problem(
                "dataset",
                f"expected the kind of data set that lies in @root ({self.root}), got nothing; for images in class"
                " folders, write dataset: folder",
                "root",
            )
        return self

    @model_validator(mode="after")
    def _root_given(self) -> Self:
        if self.root is None and self.dataset not in SYNTHETIC_DATASETS:
            raise problem("root", f"expected the folder of @dataset {self.dataset}, got nothing", "dataset")
        return self


class ScheduleSettings(Settings):
    """How the learning rate moves over the passes."""

    kind: Literal["cosine", "milestones", "one_cycle", "constant"] = Field(
        default="cosine", description="Given milestones imply `milestones`."
    )
    milestones: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Strict(False)] = Field(
        default=(), description="kind: milestones only: passes after which the learning rate is multiplied by gamma."
    )
    gamma: float = Field(default=0.1, gt=0, lt=1, description="kind: milestones only: the factor.")
    warmup: float = Field(
        default=0.0,
        ge=0,
        description="Passes over which the learning rate first rises linearly; one_cycle has a rise of its own.",
    )

    @model_validator(mode="before")
    @classmethod
    def _milestones_imply_the_kind(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("milestones") and "kind" not in value:
            return {**value, "kind": "milestones"}
        return value

    @model_validator(mode="after")
    def _warmup_fits_the_kind(self) -> Self:
        if self.kind == "one_cycle" and self.warmup > 0:
            raise problem("warmup", f"expected 0 for @kind one_cycle, which has its own, got {self.warmup:g}", "kind")
        return self

    @model_validator(mode="after")
    def _milestones_fit_the_kind(self) -> Self:
        if self.kind == "milestones" and not self.milestones:
            raise problem("milestones", "expected at least one pass for @kind milestones, got none", "kind")
        if self.kind != "milestones" and self.milestones:
            raise problem("milestones", f"expected none for @kind {self.kind}, got {list(self.milestones)}", "kind")
        if any(later <= earlier for earlier, later in zip(self.milestones, self.milestones[1:], strict=False)):
            raise problem("milestones", f"expected passes in rising order, got {list(self.milestones)}")
        return self


class FitSettings(Settings):
    """A training schedule."""

    epochs: int = Field(default=60, ge=1, le=100_000, description="Passes over the training split.")
    batch_size: int = Field(default=64, ge=1, le=65_536, description="Images per step, over all devices.")
    optimizer: Literal["sgd", "adamw"] = Field(default="sgd", description="The optimiser.")
    lr: float = Field(default=0.01, gt=0, le=100, description="Highest learning rate.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="optimizer: sgd only.")
    nesterov: bool = Field(default=False, description="optimizer: sgd only: Nesterov's momentum.")
    weight_decay: float = Field(default=5e-4, ge=0, le=10, description="Weight decay.")
    decay_norms_and_biases: bool | None = Field(
        default=None,
        description="Whether weight decay also holds for norms, biases and scales such as CLIP's logit_scale; "
        "null: with sgd, not with adamw.",
    )
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings, description="The learning rate over time.")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="Of the cross-entropy.")
    gradient_clip: float | None = Field(
        default=None, gt=0, description="Largest L2 norm of the gradient; null: no limit."
    )
    early_stop: int | None = Field(
        default=None,
        ge=1,
        description="Passes without a better validation score after which training ends; null: never.",
    )

    @property
    def decays_norms_and_biases(self) -> bool:
        """`decay_norms_and_biases`, or its default: published SGD schedules decay every parameter, AdamW's do not."""
        given = self.decay_norms_and_biases
        return self.optimizer == "sgd" if given is None else given

    @model_validator(mode="after")
    def _schedule_fits_the_epochs(self) -> Self:
        late = [milestone for milestone in self.schedule.milestones if milestone >= self.epochs]
        if late:
            raise problem(
                "schedule.milestones",
                f"expected passes before the end of @epochs ({self.epochs}), got {late}; change both together",
                "epochs",
            )
        return self

    @model_validator(mode="after")
    def _warmup_fits_the_epochs(self) -> Self:
        if self.schedule.warmup >= self.epochs:
            raise problem(
                "schedule.warmup",
                f"expected fewer passes than @epochs ({self.epochs}), got {self.schedule.warmup:g}",
                "epochs",
            )
        return self

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise problem("nesterov", "expected false where @momentum is 0, got true", "momentum")
        return self


class VisualFitSettings(FitSettings):
    """The schedule of the visual teacher."""

    views: bool = Field(
        default=False,
        description="Show each image in one view of distill.views or as it is, drawn anew in each pass.",
    )


class TextFitSettings(FitSettings):
    """The schedule of a small CLIP that is trained from scratch with the contrastive loss."""

    epochs: int = Field(default=20, ge=1, le=100_000, description="Passes over the training split.")
    optimizer: Literal["sgd", "adamw"] = Field(default="adamw", description="The optimiser.")
    lr: float = Field(default=1e-3, gt=0, le=100, description="Highest learning rate.")
    weight_decay: float = Field(default=0.05, ge=0, le=10, description="Weight decay.")


class TrainSettings(FitSettings):
    """The schedule of the student."""

    epochs: int = Field(default=240, ge=1, le=100_000, description="Passes over the training split.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="Of all training, the teachers' too; auto: bf16 on CUDA where it is fast, else fp32.",
    )
