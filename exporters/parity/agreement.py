"""Whether a file keeps its accuracy and is refused for its other answers alone."""

from dataclasses import replace
from typing import Any

from exporters.parity.gate import ParityGate
from exporters.parity.judging import judge
from exporters.parity.measure import ParityResult


def refused_by_agreement_alone(result: ParityResult, gate: ParityGate) -> dict[str, Any] | None:
    """Figures of a file that `min_agreement` alone refuses, while its accuracy is known and within its bound.

    Args:
        result: over all images, with labels or without.

    Returns:
        JSON values: `images reference_accuracy candidate_accuracy accuracy_drop top1_agreement differing
        min_agreement`. None where the file passes, something else refuses it too, or no accuracy is known.
    """
    if result.accuracy_drop is None or not judge(result, gate) or judge(result, replace(gate, min_agreement=0.0)):
        return None
    keys = ("images", "reference_accuracy", "candidate_accuracy", "accuracy_drop", "top1_agreement", "differing")
    return {**{key: getattr(result, key) for key in keys}, "min_agreement": gate.min_agreement}
