"""The sections `export` and `parity` of a recipe: which files are made of the student, and what each must keep to."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.recipe.settings import Settings, problem

OnnxPrecision = Literal["fp32", "fp16", "int8"]

VARIANTS: tuple[OnnxPrecision, ...] = ("fp16", "int8")
"""Precisions beside fp32, each a file of its own."""


class CalibrationSettings(Settings):
    """From which activations the ranges of int8 are taken; the images are training images, never validation's."""

    images: int = Field(default=512, ge=8, le=100_000, description="How many, spread evenly over the training split.")
    method: Literal["minmax", "entropy", "percentile"] = Field(
        default="minmax", description="minmax: all that was seen; the others clip what is rare."
    )
    percentile: float = Field(
        default=99.99, gt=50, le=100, description="For method percentile: the share of values that is kept."
    )


class OnnxSettings(Settings):
    """The ONNX files."""

    opset: int = Field(default=20, ge=18, le=25, description="Version of the ONNX operators.")
    precision: list[OnnxPrecision] = Field(
        default=["fp32"],
        description="fp32 is always made; each other is a file beside it.",
    )
    required: list[Literal["fp16", "int8"]] = Field(
        default_factory=list, description="Of `precision`: which must pass for anything to ship (exit 3)."
    )
    keep: Literal["useful", "all"] = Field(
        default="useful",
        description="useful: a variant that is not faster than fp32 where parity runs it is not shipped.",
    )
    calibration: CalibrationSettings = Field(default_factory=CalibrationSettings, description="For int8.")

    @model_validator(mode="after")
    def _variants_make_sense(self) -> Self:
        if "fp32" not in self.precision:
            raise problem("precision", f"expected fp32 among them: the others are made of it, got {self.precision}")
        for key in ("precision", "required"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise problem(key, f"expected each precision once, got {values}")
        missing = [name for name in self.required if name not in self.precision]
        if missing:
            raise problem("required", f"expected precisions of @precision, got {missing}", "precision")
        return self

    @property
    def variants(self) -> tuple[str, ...]:
        """The precisions beside fp32, in a fixed order."""
        return tuple(name for name in VARIANTS if name in self.precision)


class ExportSettings(Settings):
    """What is exported."""

    onnx: OnnxSettings = Field(default_factory=OnnxSettings, description="The ONNX files.")


class Fp32ParitySettings(Settings):
    """How far model.onnx may be from the student."""

    max_scaled_error: float = Field(
        default=1e-4, gt=0, description="Largest error of a logit, relative to the logits' scale."
    )
    min_agreement: float = Field(
        default=0.999, ge=0, le=1, description="Least share of images with the same top class."
    )
    max_accuracy_drop: float = Field(default=0.001, ge=0, le=1, description="A drop of one image always passes.")


class Fp16ParitySettings(Fp32ParitySettings):
    """How far model.fp16.onnx may be from the student."""

    max_scaled_error: float = Field(
        default=1e-2, gt=0, description="Largest error of a logit, relative to the logits' scale."
    )
    min_agreement: float = Field(
        default=0.995, ge=0, le=1, description="Least share of images with the same top class."
    )
    max_accuracy_drop: float = Field(default=0.005, ge=0, le=1, description="A drop of one image always passes.")


class Int8ParitySettings(Settings):
    """How far the int8 files may be from the student."""

    max_scaled_error: float | None = Field(
        default=None, gt=0, description="Largest error of a logit, relative to the logits' scale; null: not asked."
    )
    min_agreement: float = Field(default=0.97, ge=0, le=1, description="Least share of images with the same top class.")
    max_accuracy_drop: float = Field(default=0.01, ge=0, le=1, description="A drop of one image always passes.")


class ParitySettings(Settings):
    """The proof that what ships equals the student, on the whole validation split."""

    provider: Literal["cpu", "cuda", "tensorrt"] = Field(
        default="cpu", description="Where ONNX Runtime runs the files; never silently another."
    )
    fp32: Fp32ParitySettings = Field(default_factory=Fp32ParitySettings, description="Bounds for model.onnx.")
    fp16: Fp16ParitySettings = Field(default_factory=Fp16ParitySettings, description="Bounds for model.fp16.onnx.")
    int8: Int8ParitySettings = Field(default_factory=Int8ParitySettings, description="Bounds for model.int8.onnx.")
