"""The bounds that a file must keep to, and the defaults by precision."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class ParityGate:
    """Bounds on the difference from the reference; None is not checked.

    A difference of a single image passes whatever the two rates are.
    """

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
"""By precision, for every form of a file: the defaults of a recipe's `parity`."""
