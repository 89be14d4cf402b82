"""The section `parity` of a recipe: how close each exported file must be to the student."""

from dataclasses import asdict
from typing import Literal

from pydantic import Field

from exporters.parity.gate import DEFAULT_GATES
from pipeline.settings import Settings

_FP32, _FP16, _INT8 = (asdict(DEFAULT_GATES[precision]) for precision in ("fp32", "fp16", "int8"))


class Fp32ParitySettings(Settings):
    """How far model.onnx, and its engine, may be from the student."""

    max_scaled_error: float = Field(
        default=_FP32["max_scaled_error"],
        gt=0,
        description="Largest error of a logit, relative to the logits' scale; a bundle never allows more than 0.001.",
    )
    min_agreement: float = Field(
        default=_FP32["min_agreement"], ge=0, le=1, description="Least share of images with the same top class."
    )
    max_accuracy_drop: float = Field(
        default=_FP32["max_accuracy_drop"], ge=0, le=1, description="A drop of one image always passes."
    )


class Fp16ParitySettings(Fp32ParitySettings):
    """How far model.fp16.onnx, and its engine, may be from the student."""

    max_scaled_error: float = Field(
        default=_FP16["max_scaled_error"],
        gt=0,
        description="Largest error of a logit, relative to the logits' scale; a bundle never allows more than 0.05.",
    )
    min_agreement: float = Field(
        default=_FP16["min_agreement"], ge=0, le=1, description="Least share of images with the same top class."
    )
    max_accuracy_drop: float = Field(
        default=_FP16["max_accuracy_drop"], ge=0, le=1, description="A drop of one image always passes."
    )


class Int8ParitySettings(Settings):
    """How far the int8 files, and their engine, may be from the student."""

    max_scaled_error: float | None = Field(
        default=_INT8["max_scaled_error"],
        gt=0,
        description="Largest error of a logit, relative to the logits' scale; null: not checked. A bundle never allows"
        " more than 0.5.",
    )
    min_agreement: float = Field(
        default=_INT8["min_agreement"], ge=0, le=1, description="Least share of images with the same top class."
    )
    max_accuracy_drop: float = Field(
        default=_INT8["max_accuracy_drop"], ge=0, le=1, description="A drop of one image always passes."
    )


class ParitySettings(Settings):
    """The proof that what ships equals the student, on the whole validation split."""

    provider: Literal["cpu", "cuda", "tensorrt"] = Field(
        default="cpu", description="Where ONNX Runtime runs the files; there is no silent fallback."
    )
    fp32: Fp32ParitySettings = Field(default_factory=Fp32ParitySettings, description="Bounds for fp32.")
    fp16: Fp16ParitySettings = Field(default_factory=Fp16ParitySettings, description="Bounds for fp16.")
    int8: Int8ParitySettings = Field(default_factory=Int8ParitySettings, description="Bounds for int8.")
