"""BMP, GIF and PPM, whose parts Pillow reads in Python, byte by byte."""

import io
import re
import struct
from typing import BinaryIO

from exporters.images.bounds.refused import RefusedError

MAX_GIF_BLOCKS = 70_000
"""Comments and extensions before the first frame, by their parts of 255 bytes: 16 MiB."""

MAX_SLOW_PIXELS = 1_000_000
"""Of a PPM file whose largest value is neither 255 nor 65535: Pillow scales it pixel by pixel, in seconds a million."""

MAX_RLE_BYTES = 4 * 2**20
"""Of a BMP file with run lengths, which Pillow reads at 6 MB a second."""

_PPM = re.compile(
    rb"P([456])((?:\s|#[^\r\n]*[\r\n])+)(\d+)((?:\s|#[^\r\n]*[\r\n])+)(\d+)(?:(?:\s|#[^\r\n]*[\r\n])+(\d+))?"
)
_PPM_HEADER = 4096
_RUN_LENGTHS = (1, 2)


def check_ppm(stream: BinaryIO) -> None:
    """Look at the header.

    Raises:
        RefusedError: numbers as text (P1, P2, P3), a header of more than 4 KiB, or values that are scaled one by one.
    """
    stream.seek(0)
    head = stream.read(_PPM_HEADER)
    if head[1:2] in b"123":
        raise RefusedError(
            "PPM files with their pixels as text (P1, P2, P3) are not decoded; save them as P4, P5 or P6"
        )
    found = _PPM.match(head)
    if found is None:
        if head[1:2] in b"456" and len(head) == _PPM_HEADER:
            raise RefusedError(f"its PPM header has more than {_PPM_HEADER:,} bytes")
        return
    kind, width, height, largest = found[1], int(found[3]), int(found[5]), int(found[6] or b"0")
    scaled = kind != b"4" and largest != 255 and not (largest == 65535 and kind == b"5")
    if scaled and width * height > MAX_SLOW_PIXELS:
        raise RefusedError(
            f"its PPM values reach up to {largest}, which takes too long for so many pixels; 255 does not"
        )


def check_bmp(stream: BinaryIO) -> None:
    """Look at the header.

    Raises:
        RefusedError: run lengths that are longer than the pixels, or of more than 4 MiB.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(14)
    head = stream.read(20).ljust(20, b"\0")
    width, height = struct.unpack_from("<ii", head, 4)
    if struct.unpack_from("<I", head, 16)[0] in _RUN_LENGTHS and struct.unpack_from("<I", head)[0] > 12:
        most = min(MAX_RLE_BYTES, 4 * abs(width) * abs(height) + 65_536)
        if size > most:
            raise RefusedError(f"its run lengths take more than {most:,} bytes")


def check_gif(stream: BinaryIO) -> None:
    """Count what stands before the first frame.

    Raises:
        RefusedError: more than `MAX_GIF_BLOCKS` parts of comments and extensions.
    """
    stream.seek(10)
    flags = stream.read(3)
    stream.seek(13 + (3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0))
    blocks = 0
    while (byte := stream.read(1)) and byte not in b",;":
        blocks += 1
        if byte == b"!":
            stream.seek(1, io.SEEK_CUR)
            while (length := stream.read(1)) and length != b"\0" and blocks <= MAX_GIF_BLOCKS:
                stream.seek(length[0], io.SEEK_CUR)
                blocks += 1
        if blocks > MAX_GIF_BLOCKS:
            raise RefusedError(f"more than {MAX_GIF_BLOCKS:,} blocks stand before its first GIF frame")
