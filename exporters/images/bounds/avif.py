"""AVIF: items, grids, and frames that are never shown."""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from exporters.images.bounds.av1 import read_coded_image
from exporters.images.bounds.refused import RefusedError

MAX_ITEMS = 1_024
"""Cells of a grid, transparency, thumbnails, metadata. A 64 megapixel photograph in cells of 512 x 512 has 600."""

MAX_FRAMES = 8
"""Of one image, shown or not: a progressive one has up to 4."""

MAX_SAMPLES = 100_000
"""Of an animation, whose first frame alone is decoded."""

_MAX_METADATA = 4 * 2**20
_MAX_BOXES = 10_000
_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}
Extent = tuple[int, int]


def check_avif(stream: BinaryIO, max_pixels: int) -> None:
    """Look at the metadata, and walk the coded images without decoding them.

    Args:
        stream: of any position; seekable.
        max_pixels: of one image.

    Raises:
        RefusedError: more items, frames or samples than the limits, frames larger than `max_pixels` whatever the
            metadata say, or metadata that cannot be followed.
    """
    try:
        size = stream.seek(0, io.SEEK_END)
        images = [
            [(offset, length or max(size - offset, 0)) for offset, length in extents]  # 0: up to the end
            for metadata, start in _metadata(stream, size)
            for extents in _images(metadata, start)
        ]
        _check_images(stream, images, size, max_pixels)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise RefusedError("its AVIF metadata are damaged") from error


def _check_images(stream: BinaryIO, images: list[list[Extent]], size: int, max_pixels: int) -> None:
    if sum(length for extents in images for _, length in extents) > 2 * size:
        raise RefusedError("its AVIF images overlap in the file")
    pixels = 0
    for extents in images:
        parts = []
        for offset, length in extents:
            stream.seek(offset)
            parts.append(stream.read(length))
        image = read_coded_image(b"".join(parts))
        if image.frames > MAX_FRAMES:
            raise RefusedError(f"an AVIF image in it has more than {MAX_FRAMES} frames, shown or not")
        if image.pixels > max_pixels:
            raise RefusedError(f"its AVIF frames have {image.pixels:,} pixels, more than {max_pixels:,}")
        pixels += image.frames * image.pixels
    if pixels > MAX_FRAMES * max_pixels:
        raise RefusedError(f"its AVIF frames have {pixels:,} pixels together, more than {MAX_FRAMES * max_pixels:,}")


def _metadata(stream: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """The boxes `meta` and `moov`, and where each begins in the file."""
    place = 0
    for _box in range(_MAX_BOXES):
        stream.seek(place)
        head = stream.read(16)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1:
            (length,) = struct.unpack(">Q", head[8:16])
        length = size - place if length == 0 else length
        if length < 8:
            raise ValueError("a box shorter than its head")
        if kind in (b"meta", b"moov"):
            if length > _MAX_METADATA:
                raise RefusedError(f"its AVIF metadata take more than {_MAX_METADATA:,} bytes")
            stream.seek(place)
            yield stream.read(length), place
        place += length
    raise RefusedError(f"it has more than {_MAX_BOXES:,} AVIF boxes")


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the content of each box, containers before what they hold."""
    pending = [(start, end)]
    count = 0
    while pending:
        place, end = pending.pop()
        while place + 8 <= end:
            count += 1
            if count > _MAX_BOXES:
                raise RefusedError(f"it has more than {_MAX_BOXES:,} AVIF boxes")
            length, kind = struct.unpack_from(">I4s", data, place)
            head = 8
            if length == 1:
                (length,) = struct.unpack_from(">Q", data, place + 8)
                head = 16
            stop = end if length == 0 else place + length
            if stop < place + head or stop > end:
                raise ValueError("a box longer than what holds it")
            yield kind, place + head, stop
            if kind in _CONTAINERS:
                pending.append((place + head + _CONTAINERS[kind], stop))
            place = stop


def _images(data: bytes, start: int) -> list[list[Extent]]:
    """Where the coded images lie in the file: those of the items, and the first sample of each track.

    Args:
        data: a box `meta` or `moov`.
        start: of the box in the file.
    """
    found = list(_boxes(data, 0, len(data)))
    inside = next((start + begin for kind, begin, _ in found if kind == b"idat"), 0)
    coded: set[int] = set()
    places: dict[int, list[Extent]] = {}
    offsets: list[int] = []
    sizes: list[int] = []
    for kind, begin, end in found:
        if kind == b"iloc":
            places.update(_locations(data[begin:end], inside))
        elif kind == b"iinf":
            coded |= _coded_items(data, begin, end)
        elif kind == b"iref" and end - begin > 32 * MAX_ITEMS:
            raise RefusedError("its AVIF items refer to each other too often")
        elif kind in (b"stco", b"co64"):
            offsets.append(struct.unpack_from(">I" if kind == b"stco" else ">Q", data, begin + 8)[0])
        elif kind == b"stsz":
            fixed, count = struct.unpack_from(">II", data, begin + 4)
            if count > MAX_SAMPLES:
                raise RefusedError(f"it has more than {MAX_SAMPLES:,} AVIF frames")
            sizes.append(fixed or struct.unpack_from(">I", data, begin + 12)[0])
    return [places[item] for item in coded if item in places] + [[place] for place in zip(offsets, sizes, strict=False)]


def _limit_items(count: int) -> None:
    if count > MAX_ITEMS:
        raise RefusedError(f"it has more than {MAX_ITEMS:,} AVIF items")


def _coded_items(data: bytes, begin: int, end: int) -> set[int]:
    """The numbers of the items that are AV1 (`iinf`, ISO 14496-12, 8.11.6)."""
    version = data[begin]
    _limit_items(struct.unpack_from(">I" if version else ">H", data, begin + 4)[0])
    coded = set()
    for kind, entry, _ in _boxes(data, begin + (8 if version else 6), end):
        if kind == b"infe" and data[entry] in (2, 3):
            item, _protection, type_ = struct.unpack_from(">HH4s" if data[entry] == 2 else ">IH4s", data, entry + 4)
            if type_ == b"av01":
                coded.add(item)
    _limit_items(len(coded))
    return coded


def _locations(data: bytes, inside: int) -> dict[int, list[Extent]]:
    """The extents of each item in the file (`iloc`, ISO 14496-12, 8.11.3).

    Args:
        data: the content of the box.
        inside: where the content of `idat` begins in the file.
    """
    version = data[0]
    offset_bytes, length_bytes, base_bytes, index_bytes = data[4] >> 4, data[4] & 15, data[5] >> 4, data[5] & 15
    read = _Reader(data, 6)
    count = read.number(4 if version == 2 else 2)
    _limit_items(count)
    places: dict[int, list[Extent]] = {}
    total = 0
    for _item in range(count):
        item = read.number(4 if version == 2 else 2)
        method = read.number(2) & 15 if version else 0
        read.number(2)
        base = read.number(base_bytes)
        extents = []
        pieces = read.number(2)
        total += pieces
        _limit_items(total)
        for _extent in range(pieces):
            if version:
                read.number(index_bytes)
            offset = base + read.number(offset_bytes)
            extents.append((offset + (inside if method == 1 else 0), read.number(length_bytes)))
        places[item] = extents
    return places


class _Reader:
    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place

    def number(self, length: int) -> int:
        """The next `length` bytes, the highest first."""
        part = self._data[self._place : self._place + length]
        if len(part) < length:
            raise ValueError("a table that ends too early")
        self._place += length
        return int.from_bytes(part, "big")
