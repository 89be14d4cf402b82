"""Rounding of fp32 values to fp16, as IEEE 754 defines it: to nearest, ties to even."""

import numpy as np

LARGEST = 65504.0
"""Largest finite value of fp16; what rounds beyond it becomes infinite."""

SMALLEST_NORMAL = 2.0**-14
"""Smaller values of fp16 lose digits, and below half of 2**-24 become 0."""


def round_to_fp16(values: np.ndarray) -> np.ndarray:
    """Float32 of any shape as float16; NaN stays NaN, values out of range become infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16)
