"""What all parts of one export share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.command.images import ProofImages
from exporters.command.request import ExportRequest
from exporters.parity import Evidence
from exporters.runtimes import Provider, Runtime
from exporters.student.student import TrainedStudent

if TYPE_CHECKING:
    from exporters.quantize import Calibration

Say = Callable[[str], None]

_FEW = 16


@dataclass(frozen=True)
class Job:
    """One student, and what is wanted of it.

    Args:
        student: what is exported.
        images: what every file is proved on.
        request, calibration: of the variants.
        provider: where ONNX Runtime runs the files.
        any_size, probabilities: as `exporters.onnx.export.export_onnx` takes them.
        say: told each result as one line.
    """

    student: TrainedStudent
    images: ProofImages
    request: ExportRequest
    calibration: "Calibration | None"
    provider: Provider
    any_size: bool
    probabilities: bool
    say: Say

    @cached_property
    def reference(self) -> Runtime:
        """The student itself."""
        from exporters.runtimes import TorchRuntime

        return TorchRuntime(self.student)

    @cached_property
    def evidence(self) -> Evidence:
        """The student's answers to all images."""
        return Evidence(self.reference, self.images.batches)

    @cached_property
    def few(self) -> np.ndarray:
        """Images that guide a search and that speed is measured on, uint8 `[16, S, S, 3]`."""
        return self.images.some(_FEW)

    @property
    def about(self) -> dict[str, Any]:
        """On what and where a file was proved, for `parity.json`."""
        return {"source": self.images.source, "provider": self.provider}
