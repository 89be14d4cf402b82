import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.fp16.rounding import LARGEST, SMALLEST_NORMAL, from_half_bits, half_bits

ml_dtypes = pytest.importorskip("ml_dtypes")

PATTERNS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50)


@settings(deadline=None, max_examples=100)
@given(PATTERNS)
def test_bf16_rounds_as_ieee_asks(patterns: list[int]) -> None:
    values = np.array(patterns, np.uint32).view(np.float32)
    found = from_half_bits(half_bits(values, "bf16"), "bf16")
    with np.errstate(all="ignore"):
        expected = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=100)
@given(st.floats(-65519, 65519, width=32))
def test_fp16_rounds_as_python_does(value: float) -> None:
    (expected,) = struct.unpack("<H", struct.pack("<e", value))
    assert half_bits(np.array([value]), "fp16")[0] == expected


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_every_bit_pattern_comes_back(dtype) -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    values = from_half_bits(bits, dtype)
    number = ~np.isnan(values)
    np.testing.assert_array_equal(half_bits(values, dtype)[number], bits[number])
    assert np.isnan(from_half_bits(half_bits(values, dtype), dtype)[~number]).all()


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_the_limits_are_the_limits(dtype) -> None:
    largest, smallest = np.float32(LARGEST[dtype]), np.float32(SMALLEST_NORMAL[dtype])
    assert from_half_bits(half_bits(np.array([largest]), dtype), dtype) == largest
    assert np.isinf(from_half_bits(half_bits(np.array([largest * np.float32(1.003)]), dtype), dtype)).all()
    assert from_half_bits(half_bits(np.array([smallest]), dtype), dtype) == smallest
