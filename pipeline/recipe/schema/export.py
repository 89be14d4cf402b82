"""The section `export` of a recipe: which files are made of the student."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from exporters.bundle.manifest import ENGINE_SOURCES, variant_of
from exporters.openvino.convert import PRECISIONS
from pipeline.settings import Settings, problem

OnnxPrecision = Literal["fp32", "fp16", "int8"]

VARIANTS = ("fp16", "int8", "int8.trt")
"""What stands in the names of the files beside model.onnx; the last is for TensorRT alone."""

ComputeCapability = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]?\.[0-9]$")]


class CalibrationSettings(Settings):
    """From which activations the ranges of int8 are taken; the images are training images, never validation's."""

    images: int = Field(
        default=512, ge=8, le=100_000, description="Number of images, spread evenly over the training split."
    )
    method: Literal["minmax", "entropy", "percentile"] = Field(
        default="minmax", description="minmax: the full range of activations; the others clip rare values."
    )
    percentile: float = Field(
        default=99.99, gt=50, le=100, description="For method percentile: the percentage of values that is kept."
    )


class OnnxSettings(Settings):
    """The ONNX files."""

    opset: int = Field(default=20, ge=18, le=25, description="Version of the ONNX operators.")
    precision: list[OnnxPrecision] = Field(
        default=["fp32"],
        description="fp32 is always made; each other precision is a file of its own.",
    )
    required: list[Literal["fp16", "int8"]] = Field(
        default_factory=list, description="Those of `precision` that must pass for anything to ship (exit 3)."
    )
    keep: Literal["useful", "all"] = Field(
        default="useful",
        description="useful: variants that are not faster than fp32 on parity's provider do not ship.",
    )
    calibration: CalibrationSettings = Field(default_factory=CalibrationSettings, description="Calibration of int8.")
    cam: bool = Field(
        default=False, description="Add the output `cam` to each file: the class activation map of the top class."
    )

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


class EngineBatchSettings(Settings):
    """The batch sizes that an engine takes, and the one that it is made fast for."""

    min: int = Field(default=1, ge=1, le=65536, description="The smallest; smaller batches are padded.")
    opt: int = Field(default=16, ge=1, le=65536, description="The usual one, which the engine is optimized for.")
    max: int = Field(default=64, ge=1, le=65536, description="The largest; larger batches are split.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.min <= self.opt <= self.max:
            raise problem(
                "opt", f"expected @min ({self.min}) or more and @max ({self.max}) or less, got {self.opt}", "min", "max"
            )
        return self


class TensorrtSettings(Settings):
    """TensorRT engines, each built from an ONNX file of its precision and run on a GPU here before it ships."""

    when: Literal["available", "required", "never"] = Field(
        default="never",
        description="available: where TensorRT and a GPU are here, else reported; required: exit 4 without them.",
    )
    precision: list[OnnxPrecision] = Field(default=["fp16"], description="Precisions to build, one engine each.")
    library: Literal["auto", "tensorrt", "tensorrt_rtx"] = Field(
        default="auto", description="auto: TensorRT where it is installed, else TensorRT for RTX."
    )
    batch: EngineBatchSettings = Field(default_factory=EngineBatchSettings, description="The profile.")
    workspace_mib: int | None = Field(
        default=None, ge=1, description="Most scratch memory for a layer; null leaves it to TensorRT."
    )
    version_compatible: bool = Field(
        default=False, description="Build engines that later versions of the same major release can run; not for RTX."
    )
    hardware_compatible: bool = Field(
        default=False, description="Build engines that other GPUs from Ampere on can run, more slowly; not for RTX."
    )
    compute_capabilities: list[ComputeCapability] = Field(
        default_factory=list,
        description='GPUs to build for, such as "8.9"; for RTX only. Empty: the GPU here.',
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if not self.precision:
            raise problem("precision", "expected one or more precisions, got none")
        for key in ("precision", "compute_capabilities"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise problem(key, f"expected each once, got {values}")
        return self

    @model_validator(mode="after")
    def _the_library_has_it(self) -> Self:
        compatible = [key for key in ("version_compatible", "hardware_compatible") if getattr(self, key)]
        if compatible and self.library == "tensorrt_rtx":
            raise problem(compatible[0], "expected false for @library tensorrt_rtx, got true", "library")
        if self.compute_capabilities and self.library == "tensorrt":
            raise problem("compute_capabilities", "expected none for @library tensorrt, got some", "library")
        if self.compute_capabilities and compatible:
            message = f"expected none with @{compatible[0]}: no library has both; got some"
            raise problem("compute_capabilities", message, compatible[0])
        return self


class OpenvinoSettings(Settings):
    """OpenVINO IR, made from model.onnx and run by OpenVINO on the CPU here before it ships."""

    when: Literal["available", "required", "never"] = Field(
        default="never", description="available: where OpenVINO is here, else reported; required: exit 4 without it."
    )
    precision: list[Literal["fp32", "fp16"]] = Field(
        default=["fp16"], description="Precisions of the weights, a network each; both are computed in fp32 on a CPU."
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if not self.precision:
            raise problem("precision", "expected one or more precisions, got none")
        if len(set(self.precision)) != len(self.precision):
            raise problem("precision", f"expected each once, got {self.precision}")
        return self


class ExportSettings(Settings):
    """What is exported."""

    onnx: OnnxSettings = Field(default_factory=OnnxSettings, description="The ONNX files.")
    tensorrt: TensorrtSettings = Field(default_factory=TensorrtSettings, description="The engines.")
    openvino: OpenvinoSettings = Field(default_factory=OpenvinoSettings, description="OpenVINO IR.")

    @property
    def irs(self) -> tuple[str, ...]:
        """The precisions of OpenVINO IR, in a fixed order."""
        if self.openvino.when == "never":
            return ()
        return tuple(precision for precision in PRECISIONS if precision in self.openvino.precision)

    @property
    def engines(self) -> tuple[str, ...]:
        """The precisions of engines, in a fixed order."""
        if self.tensorrt.when == "never":
            return ()
        return tuple(precision for precision in ENGINE_SOURCES if precision in self.tensorrt.precision)

    @property
    def variants(self) -> tuple[str, ...]:
        """Of `VARIANTS`, the files that are asked for and those that engines are built from."""
        needed = {*self.onnx.precision, *(variant_of(ENGINE_SOURCES[precision]) for precision in self.engines)}
        return tuple(name for name in VARIANTS if name in needed)
