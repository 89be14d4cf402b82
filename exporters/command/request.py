"""What an export is asked to make besides `model.onnx`."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.bundle.manifest import ENGINE_SOURCES, variant_of
from exporters.command.images import ImageFolder, ProofImages, check_apart, prepared_batches
from exporters.core.errors import UnavailableError, UsageError
from exporters.images.preprocessing import Preprocessing
from exporters.openvino.convert import PRECISIONS
from exporters.parity import DEFAULT_GATES
from exporters.tensorrt.settings import EngineSettings

if TYPE_CHECKING:
    from exporters.quantize import Calibration

_FEWEST = 8  # as `exporters.quantize.calibration` wants them


@dataclass(frozen=True)
class CalibrationRequest:
    """From which images the ranges of int8 are taken.

    Args:
        folder: of images that the network was trained on.
        images: how many of them at most, 8 or more; evenly spread over the folder.
        method: as `exporters.quantize.Calibration` takes it.

    Raises:
        UsageError: fewer than 8 are asked for.
    """

    folder: Path
    images: int = 512
    method: Literal["minmax", "entropy", "percentile"] = "minmax"

    def __post_init__(self) -> None:
        if self.images < _FEWEST:
            raise UsageError(f"--calibration-images {self.images}: {_FEWEST} are the least")


@dataclass(frozen=True)
class EngineRequest:
    """TensorRT engines of each precision.

    Args:
        settings: of all of them.
        required: every engine must be made and proved here for anything to take a final name; else what cannot be is
            reported.
    """

    settings: EngineSettings = field(default_factory=EngineSettings)
    required: bool = True


@dataclass(frozen=True)
class ExportRequest:
    """Which files are made, and what becomes of them.

    Args:
        precisions: of `fp32`, `fp16`, `int8`; `model.onnx` in fp32 is always made.
        onnx: ONNX files of the other precisions; False: only what engines are built from.
        engines: TensorRT engines of these precisions; None: none.
        openvino: OpenVINO IR of these precisions, as far as it has them.
        required: of the ONNX files, the precisions that must pass for anything to take a final name.
        keep: `useful`: an ONNX file that passes and is not faster than fp32 is left out; `all`: it is kept.
        calibration: for int8.
        bundle: pack what passed into a bundle.

    Raises:
        UsageError: an unknown precision, one required that is not made, or calibration missing or without use.
    """

    precisions: tuple[str, ...] = ("fp32",)
    onnx: bool = True
    engines: EngineRequest | None = None
    required: tuple[str, ...] = ()
    keep: Literal["useful", "all"] = "useful"
    calibration: CalibrationRequest | None = None
    bundle: bool = False
    openvino: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in (*self.precisions, *self.required) if name not in DEFAULT_GATES]
        if unknown:
            raise UsageError(f"unknown precision {unknown[0]!r}", remedy=f"Known: {', '.join(DEFAULT_GATES)}.")
        if self.openvino and not self.irs:
            raise UsageError(
                f"OpenVINO files are of {' and '.join(PRECISIONS)}, and --precision is {','.join(self.precisions)}",
                remedy="Add one of them. OpenVINO reads model.int8.onnx as it is.",
            )
        missing = [name for name in self.required if name != "fp32" and name not in self.requested]
        if missing:
            raise UsageError(
                f"--require {','.join(missing)}: no such ONNX file is asked for, only --precision"
                f" {','.join(self.precisions)}{'' if self.onnx else ' of engines'}",
                remedy="Add it to --precision, and onnx to --to.",
            )
        if "int8" in self.precisions and self.calibration is None:
            raise UsageError(
                "--precision int8 takes its ranges from images: --calibration is missing",
                remedy="Add --calibration DIR, some hundred images that the network was trained on, of all classes.",
            )
        if "int8" not in self.precisions and self.calibration is not None:
            raise UsageError(
                f"--calibration is for int8, and --precision is {','.join(self.precisions)}",
                remedy="Leave it out, or add int8.",
            )

    @property
    def variants(self) -> tuple[str, ...]:
        """The ONNX files besides `model.onnx` that are made, as keys of `VARIANT_KINDS`, in its order."""
        sources = [] if self.engines is None else [variant_of(ENGINE_SOURCES[name]) for name in self.precisions]
        return tuple(name for name in VARIANT_KINDS if name in sources or name in self.requested)

    @property
    def irs(self) -> tuple[str, ...]:
        """The precisions of OpenVINO IR."""
        return tuple(name for name in PRECISIONS if self.openvino and name in self.precisions)

    @property
    def requested(self) -> tuple[str, ...]:
        """The variants that are wanted for themselves, not only for the engine that is built from them."""
        return tuple(name for name in VARIANT_KINDS if self.onnx and name in self.precisions)

    @cached_property
    def calibration_images(self) -> ImageFolder | None:
        """Where the images of the calibration lie; None where nothing needs them.

        Raises:
            UnavailableError: there are none.
        """
        return None if self.calibration is None else ImageFolder(self.calibration.folder, "calibration")

    def calibrate_on(self, proof: ProofImages, preprocessing: Preprocessing) -> "Calibration | None":
        """The images of the calibration, checked against those of the proof; None where nothing needs them.

        Raises:
            UsageError: the proof would be on generated images, on which 8 bits prove nothing.
            UnavailableError: no images, fewer than 8, or some of the proof's own.
        """
        if self.calibration is None:
            return None
        if proof.source != "folder":
            raise UsageError(
                "int8 is proved only on images that look like those to come: --data is missing",
                remedy="Add --data DIR, images that the network was not trained on, in folders of classes if you can.",
            )
        from exporters.quantize import Calibration

        asked, folder = self.calibration, self.calibration_images
        assert folder is not None
        paths = folder.spread(asked.images)
        if len(paths) < _FEWEST:
            raise UnavailableError(
                f"{folder.folder}: {len(paths)} images are too few to calibrate int8 on; {_FEWEST} are the least",
                remedy="Give some hundred training images, all classes among them.",
            )
        check_apart(paths, proof.paths)
        return Calibration(lambda: prepared_batches(paths, preprocessing), asked.method)
