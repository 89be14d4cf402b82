"""What an export is asked to make beside `model.onnx`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from exporters.command.images import ImageFolder, ProofImages, check_apart, prepared_batches
from exporters.errors import UnavailableError, UsageError
from exporters.parity import ParityGate
from exporters.preprocessing import Preprocessing
from exporters.variants import VARIANTS

if TYPE_CHECKING:
    from exporters.quantize import Calibration

CalibrationMethod = Literal["minmax", "entropy", "percentile"]
Keep = Literal["useful", "all"]

GATES = {
    "fp32": ParityGate(1e-4, 0.999, 0.001),
    "fp16": ParityGate(1e-2, 0.995, 0.005),
    "int8": ParityGate(None, 0.97, 0.01),
}
"""By precision, as a recipe's `parity` by default."""

_FEWEST = 8  # as `exporters.quantize.calibration` wants them
_CALIBRATED = frozenset({"int8"})


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
    method: CalibrationMethod = "minmax"

    def __post_init__(self) -> None:
        if self.images < _FEWEST:
            raise UsageError(f"--calibration-images {self.images}: {_FEWEST} are the least")


@dataclass(frozen=True)
class VariantRequest:
    """Which variants are made, and what becomes of them.

    Args:
        precisions: of `fp32`, `fp16`, `int8`; fp32 is always made.
        required: of these, what must pass for anything to take a final name.
        keep: `useful`: a variant that passes and is not faster than fp32 is left out; `all`: it is kept.
        calibration: for int8.

    Raises:
        UsageError: an unknown precision, one required that is not made, or calibration missing or without use.
    """

    precisions: tuple[str, ...] = ("fp32",)
    required: tuple[str, ...] = ()
    keep: Keep = "useful"
    calibration: CalibrationRequest | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in (*self.precisions, *self.required) if name not in GATES]
        if unknown:
            raise UsageError(f"unknown precision {unknown[0]!r}", remedy=f"Known: {', '.join(GATES)}.")
        missing = [name for name in self.required if name not in ("fp32", *self.precisions)]
        if missing:
            raise UsageError(
                f"--require {','.join(missing)}: not among --precision {','.join(self.precisions)}",
                remedy="Ask for it there too.",
            )
        calibrated = [name for name in self.made if name in _CALIBRATED]
        if calibrated and self.calibration is None:
            raise UsageError(
                f"--precision {calibrated[0]} takes its ranges from images: --calibration is missing",
                remedy="Add --calibration DIR, some hundred images that the network was trained on, of all classes.",
            )
        if not calibrated and self.calibration is not None:
            raise UsageError(
                f"--calibration is for int8, and --precision is {','.join(self.precisions)}",
                remedy="Leave it out, or add int8.",
            )

    @property
    def made(self) -> tuple[str, ...]:
        """The precisions beside fp32, in the order of `VARIANTS`."""
        return tuple(name for name in VARIANTS if name in self.precisions)

    def keeps(self, precision: str) -> bool:
        """Whether it is kept although it is not faster."""
        return self.keep == "all" or precision in self.required

    def calibrate_on(self, proof: ProofImages, preprocessing: Preprocessing) -> "Calibration | None":
        """The images of the calibration, checked against those of the proof; None where nothing needs them.

        Raises:
            UsageError: the proof would be on drawn images, on which 8 bits prove nothing.
            UnavailableError: no images, fewer than 8, or some of the proof's own.
        """
        if self.calibration is None:
            return None
        if proof.source != "folder":
            raise UsageError(
                "int8 is proved on images alone that look like those to come: --data is missing",
                remedy="Add --data DIR, images that are neither in --calibration nor were trained on; labelled by"
                " folders of classes where you can.",
            )
        from exporters.quantize import Calibration

        asked = self.calibration
        paths = ImageFolder(asked.folder).spread(asked.images)
        if len(paths) < _FEWEST:
            raise UnavailableError(
                f"{asked.folder}: {len(paths)} images are too few to calibrate int8 on; {_FEWEST} are the least",
                remedy="Give some hundred training images, all classes among them.",
            )
        check_apart(paths, proof.paths)
        return Calibration(lambda: prepared_batches(paths, preprocessing), asked.method)
