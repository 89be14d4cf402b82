"""fp32 to 16 bits and back, as IEEE 754 asks: to nearest, ties to even. NumPy alone, since it has no bfloat16."""

from typing import Literal

import numpy as np

HalfType = Literal["fp16", "bf16"]

LARGEST: dict[HalfType, float] = {"fp16": 65504.0, "bf16": float.fromhex("0x1.FEp127")}
"""Largest finite value; what rounds beyond it becomes infinite."""

SMALLEST_NORMAL: dict[HalfType, float] = {"fp16": 2.0**-14, "bf16": 2.0**-126}
"""Below it a value loses digits, and at last becomes 0."""


def half_bits(values: np.ndarray, dtype: HalfType) -> np.ndarray:
    """Float32 of any shape, rounded, as uint16 bit patterns; NaN stays NaN, values out of range become infinite."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    if dtype == "fp16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).view(np.uint16)
    bits: np.ndarray = values.view(np.uint32)
    # The lower half decides: above the middle up, on the middle to the even neighbour.
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> 16) & 1))) >> 16
    quiet_nan = (bits >> 16) | 0x0040
    return np.where(np.isnan(values), quiet_nan, rounded).astype(np.uint16)


def from_half_bits(bits: np.ndarray, dtype: HalfType) -> np.ndarray:
    """Uint16 bit patterns of any shape to the float32 values that they mean, exactly."""
    if dtype == "fp16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)
