"""What a file must keep to, and what a comparison has against it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporters.parity.measure import ParityResult


@dataclass(frozen=True)
class ParityGate:
    """What must hold; None is not asked. A difference of one image passes whatever the two rates say."""

    max_scaled_error: float | None = None
    min_agreement: float = 0.0
    max_accuracy_drop: float = 1.0


DEFAULT_GATES: Mapping[str, ParityGate] = MappingProxyType(
    {
        "fp32": ParityGate(1e-4, 0.999, 0.001),
        "fp16": ParityGate(1e-2, 0.995, 0.005),
        "int8": ParityGate(None, 0.97, 0.01),
    }
)
"""By precision, for every form of a file: what a recipe's `parity` says by default."""


def judge(result: "ParityResult", gate: ParityGate) -> list[str]:
    """What the gate has against the result, one line each; an empty list passes."""
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
