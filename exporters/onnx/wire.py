"""The protobuf wire format, read strictly: what is damaged or unknown is an error, never a guess.

https://protobuf.dev/programming-guides/encoding/
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Literal

Kind = Literal["int", "float", "double", "bytes"]
Table = Mapping[int, tuple[str, Kind]]
"""Field number to (name, kind) for every field that a message may have; numbers may also come packed."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIRE_OF_KIND = {"int": _VARINT, "double": _FIXED64, "bytes": _LENGTH, "float": _FIXED32}


class WireError(ValueError):
    """Bytes that are not a message of the given table."""


class Allowance:
    """How many fields and packed numbers may be read in all: each becomes an object, many times its size in the file.

    Args:
        most: of them; a network of thousands of nodes has some hundred thousand.
    """

    def __init__(self, most: int = 2**21) -> None:
        self._left = most

    def spend(self) -> None:
        """Count one more.

        Raises:
            WireError: there were too many.
        """
        self._left -= 1
        if self._left < 0:
            raise WireError("more fields and numbers than any network has")


def read_fields(view: memoryview, table: Table) -> Iterator[tuple[str, int | memoryview]]:
    """The fields of one message, in the order of the file.

    Args:
        view: the message's bytes.
        table: its fields.

    Yields:
        (name, value): an int for the kind "int" (signed, 64 bits), else the bytes of the value, which for packed
        numbers are the bytes of all of them. Packed ints are yielded one by one.

    Raises:
        WireError: cut off, a field that the table does not have, or one of another wire type.
    """
    position = 0
    while position < len(view):
        tag, position = _varint(view, position)
        number, wire = tag >> 3, tag & 7
        if number not in table:
            raise WireError(f"unknown field {number}")
        name, kind = table[number]
        if wire == _LENGTH:
            length, position = _varint(view, position)
            if length > len(view) - position:
                raise WireError(f"{name} is cut off")
            content = view[position : position + length]
            position += length
            if kind == "int":
                inner = 0
                while inner < length:
                    value, inner = _varint(content, inner)
                    yield name, _signed(value)
            elif kind != "bytes" and length % (4 if kind == "float" else 8):
                raise WireError(f"{name} is cut off")
            else:
                yield name, content
        elif wire != _WIRE_OF_KIND[kind]:
            raise WireError(f"{name} has wire type {wire}")
        elif wire == _VARINT:
            value, position = _varint(view, position)
            yield name, _signed(value)
        else:
            width = 8 if wire == _FIXED64 else 4
            if width > len(view) - position:
                raise WireError(f"{name} is cut off")
            yield name, view[position : position + width]
            position += width


def message(view: memoryview, table: Table, allowance: Allowance | None = None) -> dict[str, list[int | memoryview]]:
    """All fields of one message by name, each with every value it has; see `read_fields`."""
    fields: dict[str, list[int | memoryview]] = {}
    for name, value in read_fields(view, table):
        if allowance is not None:
            allowance.spend()
        fields.setdefault(name, []).append(value)
    return fields


def pack_ints(values: list[int], code: str) -> bytes:
    """Integers as little-endian bytes of one `struct` code, cut to its width as protobuf's int32 storage asks."""
    width = struct.calcsize("<" + code)
    mask = (1 << (8 * width)) - 1
    return b"".join((value & mask).to_bytes(width, "little") for value in values)


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            raise WireError("a number is cut off")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                raise WireError("a number has more than 64 bits")
            return value, position
    raise WireError("a number has more than 64 bits")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
