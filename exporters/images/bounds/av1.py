"""AV1: frames of a coded image, and how large they are (AV1 bitstream specification, sections 5.3 to 5.5)."""

from collections.abc import Iterator
from dataclasses import dataclass

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6


@dataclass(frozen=True)
class CodedImage:
    """What decoding asks for.

    Attributes:
        frames: those that are decoded, shown or not.
        pixels: of the largest frame that its sequence headers allow.
    """

    frames: int
    pixels: int


def read_coded_image(data: bytes) -> CodedImage:
    """Walk the units of a coded image, without decoding them.

    Raises:
        ValueError, IndexError: not AV1.
    """
    frames = pixels = 0
    for kind, body in _units(data):
        if kind == _SEQUENCE_HEADER:
            pixels = max(pixels, _frame_pixels(body))
        frames += kind in (_FRAME_HEADER, _FRAME)
    return CodedImage(frames, pixels)


def _units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and the first bytes of each unit (`obu_header`, `obu_size`)."""
    place = 0
    while place < len(data):
        header = data[place]
        place += 2 if header & 4 else 1
        length = len(data) - place
        if header & 2:
            length = shift = 0
            for index in range(8):  # leb128
                byte = data[place + index]
                length |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
            place += index + 1
        yield (header >> 3) & 15, data[place : place + min(length, 64 * 1024)]
        place += length


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, bits: int) -> int:
        self._left -= bits
        if self._left < 0:
            raise ValueError("the sequence header ends too early")
        return (self._value >> self._left) & ((1 << bits) - 1)


def _frame_pixels(body: bytes) -> int:
    """`max_frame_width · max_frame_height` of a `sequence_header_obu`."""
    bits = _Bits(body[:1024])
    bits.read(4)  # seq_profile, still_picture
    if bits.read(1):  # reduced_still_picture_header
        bits.read(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return (bits.read(width_bits) + 1) * (bits.read(height_bits) + 1)


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.read(1):  # timing_info_present_flag
        bits.read(64)
        if bits.read(1):  # equal_picture_interval: an exponential-Golomb number follows
            zeros = 0
            while not bits.read(1):
                zeros += 1
            bits.read(zeros if zeros < 32 else 0)
        if bits.read(1):  # decoder_model_info_present_flag
            delay_bits = bits.read(5) + 1
            bits.read(42)
    display_delays = bits.read(1)
    for _point in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if display_delays and bits.read(1):
            bits.read(4)
