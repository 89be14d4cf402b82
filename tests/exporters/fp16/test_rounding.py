import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.fp16.rounding import LARGEST, SMALLEST_NORMAL, round_to_fp16


@settings(deadline=None, max_examples=100)
@given(st.floats(-65519, 65519, width=32))
def test_fp16_rounds_as_python_does(value: float) -> None:
    rounded = round_to_fp16(np.array([value], np.float32))
    assert rounded.astype("<f2").tobytes() == struct.pack("<e", value)


def test_every_fp16_value_is_kept() -> None:
    values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    rounded = round_to_fp16(values.astype(np.float32))
    number = ~np.isnan(values)
    np.testing.assert_array_equal(rounded[number].view(np.uint16), values[number].view(np.uint16))
    assert np.isnan(rounded[~number]).all()


def test_limits_are_the_largest_and_smallest_normal_value() -> None:
    limits = np.array([LARGEST, SMALLEST_NORMAL], np.float32)
    np.testing.assert_array_equal(round_to_fp16(limits), limits)
    assert np.isinf(round_to_fp16(limits[:1] * np.float32(1.003))).all()
    assert np.finfo(np.float16).max == LARGEST and np.finfo(np.float16).smallest_normal == SMALLEST_NORMAL
