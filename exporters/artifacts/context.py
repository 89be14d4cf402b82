"""What all artifacts of one student are made, proved and judged with."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.parity import Evidence, ParityGate
from exporters.runtimes import Provider

Say = Callable[[str], None]


def silent(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class ArtifactContext:
    """Evidence and rules for the artifacts of one student.

    Args:
        evidence: the images that everything is judged on, with the student's logits.
        images: a few prepared images, uint8 `[n, S, S, 3]`, that guide searches and that speed is measured on; a
            bundle's golden images.
        gates: by precision.
        provider: where ONNX Runtime runs the files.
        requested: variants that are wanted for themselves, not only as the source of an engine.
        required: variants that must pass; they ship although they are not faster.
        keep_all: ship what passes although it is not faster than fp32.
        images_name: what messages call the images of the evidence.
        say, warn: given one line for each result, and for each artifact that cannot be made.
        say_trial: given one line for each candidate that a search judges; None: they are not reported.
    """

    evidence: Evidence
    images: np.ndarray
    gates: Mapping[str, ParityGate]
    provider: Provider = "cpu"
    requested: Collection[str] = ()
    required: Collection[str] = ()
    keep_all: bool = False
    images_name: str = "images"
    say: Say = silent
    warn: Say = silent
    say_trial: Say | None = None

    def gate(self, variant: str) -> ParityGate:
        """The gate of a variant's precision."""
        return self.gates[VARIANT_KINDS[variant].precision]

    def keeps(self, variant: str) -> bool:
        """Whether a variant that passes ships although it is not faster, or although its engine does not ship."""
        wanted = variant in self.requested or VARIANT_KINDS[variant].for_engine
        return variant in self.required or (self.keep_all and wanted)
