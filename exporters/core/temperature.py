"""The temperature T of calibrated probabilities, `softmax(logits / T)` (Guo et al. 2017, equation 9)."""

import math

from exporters.core.errors import UsageError

LEAST, MOST = 0.05, 20.0
"""Bounds of a temperature. Beyond them, probabilities are those of the answer alone, or all alike."""


def check_temperature(value: float, name: str = "a temperature") -> float:
    """The value as it is.

    Args:
        value: to check.
        name: what the message calls it.

    Raises:
        UsageError: not finite, or out of bounds.
    """
    if not (math.isfinite(value) and LEAST <= value <= MOST):
        raise UsageError(f"{name} is a number from {LEAST:g} to {MOST:g}, not {value!r}", remedy="1 changes nothing.")
    return value
