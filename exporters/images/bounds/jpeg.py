"""JPEG: kinds of coding, scans, segments."""

import re
import struct
from typing import BinaryIO

from exporters.images.bounds.refused import RefusedError

MAX_SCANS = 32
"""Each scan passes over all pixels once more. Encoders write 10 for colour and 18 for CMYK."""

MAX_SEGMENTS = 5_000
"""Of 64 KiB at most; a depth map or an extended XMP block takes hundreds."""

_MAX_FILL = 65_536
_MAX_BYTES = 512 * 2**20
_BASELINE = (0xC0, 0xC1)
_PROGRESSIVE = 0xC2
_OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_START_OF_SCAN, _END = 0xDA, 0xD9
_WITHOUT_LENGTH = (0x00, 0x01, *range(0xD0, 0xD9))
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in coded data: neither a stuffed byte nor a restart


def check_jpeg(stream: BinaryIO) -> None:
    """Count segments and scans up to the end of the first image.

    A baseline file whose first scan has all components is read up to that scan alone.

    Args:
        stream: at its beginning.

    Raises:
        RefusedError: more of them than the limits, or a coding that photographs do not use.
    """
    stream.seek(2)
    segments = fill = scans = components = 0
    progressive = False
    while True:
        byte = stream.read(1)
        if not byte:
            return
        if byte != b"\xff":
            fill += 1
        else:
            while (byte := stream.read(1)) == b"\xff" and fill <= _MAX_FILL:
                fill += 1
            if not byte or byte[0] == _END:
                return
            marker = byte[0]
            if marker in _WITHOUT_LENGTH:
                fill += 1
            else:
                segments += 1
                body = _segment(stream)
                if marker in _OTHER_FRAMES:
                    raise RefusedError("JPEG files with lossless, hierarchical or arithmetic coding are not decoded")
                if (marker in _BASELINE or marker == _PROGRESSIVE) and len(body) > 5:
                    components, progressive = body[5], marker == _PROGRESSIVE
                if marker == _START_OF_SCAN:
                    if not progressive and body and body[0] == components:
                        return
                    scans += 1
                    break
        if segments > MAX_SEGMENTS:
            raise RefusedError(f"it has more than {MAX_SEGMENTS:,} JPEG segments")
        if fill > _MAX_FILL:
            raise RefusedError(f"more than {_MAX_FILL:,} bytes between its JPEG segments mean nothing")
    _count_scans(stream.read(_MAX_BYTES), scans, segments)


def _segment(stream: BinaryIO) -> bytes:
    length = stream.read(2)
    return stream.read(max(struct.unpack(">H", length)[0] - 2, 0)) if len(length) == 2 else b""


def _count_scans(data: bytes, scans: int, segments: int) -> None:
    """Go on after the header of the first scan."""
    place = 0
    while (found := _MARKER.search(data, place)) is not None:
        marker, place = data[found.start() + 1], found.end()
        if marker == _END:
            return
        if marker in _WITHOUT_LENGTH:
            continue
        scans += marker == _START_OF_SCAN
        segments += 1
        if scans > MAX_SCANS:
            raise RefusedError(f"it has more than {MAX_SCANS} JPEG scans, each of which passes over all pixels")
        if segments > MAX_SEGMENTS:
            raise RefusedError(f"it has more than {MAX_SEGMENTS:,} JPEG segments")
        place += int.from_bytes(data[place : place + 2], "big")
