import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.onnx.wire import Table, WireError, message, pack_ints, read_fields

TABLE: Table = {1: ("count", "int"), 2: ("text", "bytes"), 3: ("share", "float"), 4: ("exact", "double")}


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = b""
    while value >= 0x80:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


@given(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=200))
def test_fields_come_back_in_order(number: int, text: bytes) -> None:
    data = b"\x08" + varint(number) + b"\x12" + varint(len(text)) + text + b"\x1d" + struct.pack("<f", 0.5)
    found = [
        (name, value if isinstance(value, int) else bytes(value))
        for name, value in read_fields(memoryview(data), TABLE)
    ]
    assert found == [("count", number), ("text", text), ("share", struct.pack("<f", 0.5))]


def test_packed_numbers_are_read() -> None:
    packed = varint(3) + varint(-1) + varint(300)
    data = b"\x0a" + varint(len(packed)) + packed + b"\x08\x07"
    assert message(memoryview(data), TABLE) == {"count": [3, -1, 300, 7]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x12\x05abc", "text is cut off"),
        (b"\x1d\x00\x00", "share is cut off"),
        (b"\x08\xff", "a number is cut off"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "more than 64 bits"),
        (b"\x1a\x03abc", "share is cut off"),
        (b"\x10\x01", "text has wire type 0"),
        (b"\x28\x01", "unknown field 5"),
    ],
)
def test_damaged_messages_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        message(memoryview(data), TABLE)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(WireError):
        message(memoryview(data), TABLE)


def test_packed_integers_are_little_endian_and_truncated() -> None:
    assert pack_ints([1, -1, 258], "B") == b"\x01\xff\x02"
    assert pack_ints([-2], "q") == struct.pack("<q", -2)
