"""The settings of the images: which, where, how they are split, sized and varied."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, Strict, WithJsonSchema, model_validator

from exporters.core.errors import UsageError
from exporters.images.sizes import default_resize
from pipeline.data.registry import DATASETS, FAMILY_PATTERNS, dataset_names, is_dataset
from pipeline.data.torchvision_names import TORCHVISION_SETS, torchvision_set
from pipeline.settings import Licence, NonEmpty, Settings, any_of, problem, unexpected

SYNTHETIC_DATASETS = frozenset({"birds_demo"})
"""Data sets that are made on first use and so need no `data.root`."""


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


class RandAugmentSettings(Settings):
    """RandAugment (Cubuk et al. 2020): so many operations of fourteen, all with one magnitude."""

    operations: int = Field(default=2, ge=1, le=14, description="N: operations on an image, sampled one by one.")
    magnitude: int = Field(default=9, ge=0, le=30, description="M: their strength.")


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
    mixup: float = Field(
        default=0.0, ge=0, le=100, description="α of mixup, which blends an image with another; 0: no mixup."
    )
    cutmix: float = Field(
        default=0.0, ge=0, le=100, description="α of CutMix, which pastes a part of another image; 0: no CutMix."
    )
    mix_probability: float = Field(
        default=1.0, ge=0, le=1, description="Share of the images that are mixed, where mixup or cutmix is on."
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
        default="auto", description="Processes that decode images; 0: the main one alone."
    )
    decode: Literal["cpu", "gpu"] = Field(
        default="cpu",
        description="Where training images that are not kept in memory are decoded; gpu: JPEG files on an NVIDIA GPU.",
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
