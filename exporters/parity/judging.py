"""Checks a comparison against a gate."""

from exporters.parity.gate import ParityGate
from exporters.parity.measure import ParityResult


def judge(result: ParityResult, gate: ParityGate) -> list[str]:
    """The bounds of the gate that the result exceeds, one line each; an empty list passes."""
    failures = []
    if result.non_finite:
        failures.append(f"{result.non_finite} of {result.images} images have a NaN or infinite logit")
    error = result.max_scaled_error
    if gate.max_scaled_error is not None and error is not None and error > gate.max_scaled_error:
        failures.append(f"largest error {error:.3g} of the logits' scale, allowed {gate.max_scaled_error:.3g}")
    if result.differing > 1 and result.top1_agreement < gate.min_agreement:
        failures.append(f"top-1 agreement {result.top1_agreement:.5f}, needed {gate.min_agreement:.5f}")
    drop = result.accuracy_drop
    if drop is not None and drop > gate.max_accuracy_drop and round(drop * result.images) > 1:
        failures.append(f"top-1 accuracy drops by {drop:.5f}, allowed {gate.max_accuracy_drop:.5f}")
    return failures
