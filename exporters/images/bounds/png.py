"""PNG: chunks, compressed text, colour profiles."""

import io
import struct
from typing import BinaryIO

from exporters.images.bounds.refused import RefusedError

MAX_CHUNKS = 1_000
"""Other than pixels; the commonest files have fewer than twenty."""

MAX_COMPRESSED_CHUNKS = 64
"""zTXt, iTXt and iCCP: each is unpacked to 1 MiB at most, whether it proves damaged or not."""

_FEW_DATA_CHUNKS = 10_000
_LEAST_DATA_CHUNK = 256  # bytes; encoders write 4 KiB and more
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")
_NEXT_FRAME = (b"fcTL", b"fdAT")


def check_png(stream: BinaryIO) -> None:
    """Count the chunks of the first image; their content is passed over.

    Args:
        stream: of any position; seekable.

    Raises:
        RefusedError: more chunks than the limits.
    """
    size = stream.seek(0, io.SEEK_END)
    most_data = max(_FEW_DATA_CHUNKS, size // _LEAST_DATA_CHUNK)
    place, others, compressed, profiles, data = 8, 0, 0, 0, 0
    while place + 8 <= size:
        stream.seek(place)
        length, kind = struct.unpack(">I4s", stream.read(8))
        place += length + 12
        if kind == b"IEND" or (data and kind in _NEXT_FRAME):
            return
        if kind == b"IDAT":
            data += 1
        else:
            others += 1
            compressed += kind in _COMPRESSED
            profiles += kind == b"iCCP"
        if others > MAX_CHUNKS:
            raise RefusedError(f"it has more than {MAX_CHUNKS:,} PNG chunks beside those of its pixels")
        if compressed > MAX_COMPRESSED_CHUNKS or profiles > 1:
            raise RefusedError(
                f"it has more than {MAX_COMPRESSED_CHUNKS} compressed PNG chunks, or two colour profiles"
            )
        if data > most_data:
            raise RefusedError(f"its pixels are cut into PNG chunks of fewer than {_LEAST_DATA_CHUNK} bytes")
