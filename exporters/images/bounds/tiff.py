"""TIFF: strips and tiles of the first page, kinds of compression, tags."""

import struct
from typing import BinaryIO

from exporters.images.bounds.refused import RefusedError

MAX_PIECES = 65_536
"""Strips or tiles; a strip a row of the tallest image that is decoded at all, or tiles of 32 x 32."""

MAX_TAGS = 1_000

COMPRESSIONS = {
    1: "none",
    2: "CCITT",
    3: "CCITT Group 3",
    4: "CCITT Group 4",
    5: "LZW",
    7: "JPEG",
    8: "Deflate",
    32773: "PackBits",
    32946: "Deflate",
}
"""Kinds that are decoded, by their number."""

_PADDING = 4  # tiles may cover so many times the pixels of the image, beside 4 million
_SPARE_PIXELS = 4_000_000
_WIDTH, _HEIGHT, _COMPRESSION, _STRIPS, _SAMPLES, _ROWS, _PLANES = 256, 257, 259, 273, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES = 322, 323, 324
_READ = {_WIDTH, _HEIGHT, _COMPRESSION, _STRIPS, _SAMPLES, _ROWS, _PLANES, _TILE_WIDTH, _TILE_HEIGHT, _TILES}
_FORMS = {1: "B", 3: "H", 4: "I", 16: "Q"}


def check_tiff(stream: BinaryIO) -> None:
    """Read the tags of the first page; further pages are not decoded.

    Args:
        stream: of any position; seekable.

    Raises:
        RefusedError: more strips, tiles or tags than the limits, tiles far larger than the image, or a compression that
            is not one of `COMPRESSIONS`.
    """
    values, counts = _first_page(stream)
    compression = next((value for value in values.get(_COMPRESSION, [1]) if value not in COMPRESSIONS), None)
    if compression is not None:
        known = ", ".join(sorted(set(COMPRESSIONS.values())))
        raise RefusedError(f"its TIFF compression {compression} is not decoded; {known} are")
    width, height = (min(values.get(tag, [1])) for tag in (_WIDTH, _HEIGHT))
    planes = max(values.get(_SAMPLES, [1])) if 2 in values.get(_PLANES, [1]) else 1
    across = down = 1
    tiled = _TILES in counts or _TILE_WIDTH in values or _TILE_HEIGHT in values
    if tiled:
        tile_width, tile_height = (values.get(tag, [1]) for tag in (_TILE_WIDTH, _TILE_HEIGHT))
        across, down = -(-width // max(min(tile_width), 1)), -(-height // max(min(tile_height), 1))
        covered = across * max(tile_width) * down * max(tile_height)
        if covered > _PADDING * width * height + _SPARE_PIXELS:
            raise RefusedError(
                f"its TIFF tiles of {max(tile_width)}x{max(tile_height)} pixels are far larger than the image"
            )
    if not tiled or _STRIPS in counts or _ROWS in values:
        down = max(down, -(-height // max(min(values.get(_ROWS, [height])), 1)))
    if max(across * down * planes, counts.get(_TILES, 0), counts.get(_STRIPS, 0)) > MAX_PIECES:
        raise RefusedError(f"it has more than {MAX_PIECES:,} TIFF strips or tiles")


def _first_page(stream: BinaryIO) -> tuple[dict[int, list[int]], dict[int, int]]:
    """The values of the tags that are looked at, and how many each of them has; a tag may be there several times."""
    stream.seek(0)
    head = stream.read(16).ljust(16, b"\0")
    order = "<" if head[:2] == b"II" else ">"
    big = 43 in head[2:4]
    (place,) = struct.unpack(f"{order}Q", head[8:16]) if big else struct.unpack(f"{order}I", head[4:8])
    if place >= 2**63:
        raise RefusedError("its TIFF directory is nowhere in the file")
    stream.seek(place)
    entry, value_bytes = (f"{order}HHQ8s", 8) if big else (f"{order}HHI4s", 4)
    count_form = f"{order}Q" if big else f"{order}H"
    counted = stream.read(struct.calcsize(count_form))
    (tags,) = struct.unpack(count_form, counted) if len(counted) == struct.calcsize(count_form) else (0,)
    if tags > MAX_TAGS:
        raise RefusedError(f"it has more than {MAX_TAGS:,} TIFF tags")
    length = struct.calcsize(entry)
    table = stream.read(tags * length)
    values: dict[int, list[int]] = {}
    counts: dict[int, int] = {}
    for start in range(0, len(table) - length + 1, length):
        tag, kind, count, data = struct.unpack_from(entry, table, start)
        if tag not in _READ:
            continue
        counts[tag] = max(count, counts.get(tag, 0))
        form = _FORMS.get(kind)
        if form is not None and count and struct.calcsize(form) <= value_bytes:
            values.setdefault(tag, []).append(struct.unpack_from(order + form, data)[0])
    return values, counts
