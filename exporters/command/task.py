"""What all parts of one export share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from exporters.artifacts.context import ArtifactContext, Say
from exporters.command.images import ProofImages
from exporters.command.request import ExportRequest
from exporters.core.errors import UsageError
from exporters.parity import DEFAULT_GATES, Evidence
from exporters.runtimes import Provider, Runtime
from exporters.student.student import TrainedStudent

if TYPE_CHECKING:
    from exporters.quantize import Calibration

_FEW = 16


@dataclass(frozen=True)
class ExportTask:
    """One student, and what is asked for.

    Args:
        student: what is exported.
        images: what every file is proved on.
        request, calibration: of the variants.
        provider: where ONNX Runtime runs the files.
        any_size, probabilities: as `exporters.onnx.export.export_onnx` takes them.
        say: given each result as one line.
        cam: whether files give class activation maps.
        scaling: the temperature of the probabilities and its figures, as a manifest has them; None: none.
    """

    student: TrainedStudent
    images: ProofImages
    request: ExportRequest
    calibration: "Calibration | None"
    provider: Provider
    any_size: bool
    probabilities: bool
    say: Say
    cam: bool = False
    scaling: Mapping[str, Any] | None = None

    @property
    def temperature(self) -> float:
        """Of the probabilities."""
        return 1.0 if self.scaling is None else float(self.scaling["temperature"])

    @cached_property
    def reference(self) -> Runtime:
        """The student in torch."""
        from exporters.runtimes import TorchRuntime

        return TorchRuntime(self.student)

    @cached_property
    def context(self) -> ArtifactContext:
        """The student's logits on all images, and the rules of this export."""
        return ArtifactContext(
            Evidence(self.reference, self.images.batches, maps=self.cam),
            self.images.some(_FEW),
            DEFAULT_GATES,
            self.provider,
            requested=self.request.requested,
            required=self.request.required,
            keep_all=self.request.keep == "all",
            say=self.say,
            warn=self.say,
            say_trial=self.say,
        )

    @property
    def about(self) -> dict[str, Any]:
        """On what and where a file was proved, for `parity.json`."""
        return {"source": self.images.source, "provider": self.provider}

    def refuse_forms(self, refusal: Callable[[str], str]) -> None:
        """Refuse images of any size, and probabilities.

        Args:
            refusal: from the option to the message.

        Raises:
            UsageError: one of them is asked for.
        """
        for asked, option in ((self.any_size, "--any-size"), (self.probabilities, "--probabilities")):
            if asked:
                raise UsageError(refusal(option), remedy="Export twice, once for each.")
