"""Small files that ask their decoder for work without end, by name; each was decoded before its kind was bounded."""

import struct
import zlib
from array import array
from collections.abc import Callable

from tests.exporters.images.encoding import encoded, photograph

SIDE = 5000
"""25 million pixels: as many as the server takes."""


def segment(marker: int, body: bytes = b"") -> bytes:
    """A JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(frame: int, scans: bytes, side: int = SIDE, components: int = 1) -> bytes:
    """A JPEG file of one-bit Huffman codes around these scans."""
    places = b"".join(bytes([index + 1, 0x11, 0]) for index in range(components))
    return (
        b"\xff\xd8"
        + segment(0xDB, b"\0" + bytes([1] * 64))
        + segment(frame, struct.pack(">BHHB", 8, side, side, components) + places)
        + segment(0xC4, b"\x00\x01" + bytes(15) + b"\0")
        + segment(0xC4, b"\x10\x01" + bytes(15) + b"\xe0")  # a run of 2^14 empty blocks and more
        + scans
        + b"\xff\xd9"
    )


def progressive_jpeg(scans: int, side: int = SIDE) -> bytes:
    """Refinement scans: each looks at all coefficients again, for some forty bytes."""
    blocks = ((side + 7) // 8) ** 2
    bits = ("0" + "1" * 14) * (blocks // 32767 + 1)
    bits += "1" * (-len(bits) % 8)
    runs = bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    first = segment(0xDA, b"\1\1\0\0\0\0") + b"\0"
    return jpeg(0xC2, first + (segment(0xDA, b"\1\1\0\1\x3f\x10") + runs) * scans, side)


def sequential_jpeg(scans: int) -> bytes:
    """A baseline file whose components come one by one, again and again."""
    return jpeg(
        0xC0, b"".join(segment(0xDA, bytes([1, 1 + i % 3, 0, 0, 63, 0])) + b"\0" for i in range(scans)), components=3
    )


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(before: bytes = b"", pixels: bytes | None = None, after: bytes = b"", side: int = 8) -> bytes:
    """A grey PNG file with chunks before and after its pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(side * (side + 1)))) if pixels is None else pixels
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + pixels + after + chunk(b"IEND")


def tiff(
    width: int,
    height: int,
    pieces: int,
    piece: bytes = b"\0",
    *,
    compression: int = 1,
    rows: int = 1,
    tile: tuple[int, int] | None = None,
    more_tags: int = 0,
    order: str = "<",
) -> bytes:
    """A grey TIFF file whose strips or tiles are all the same bytes."""
    names = (322, 323, 324, 325) if tile else (278, None, 273, 279)
    tags: list[tuple[int, list[int]]] = [(256, [width]), (257, [height]), (258, [8]), (259, [compression]), (262, [1])]
    tags += [(names[0], [tile[0] if tile else rows])]
    if tile:
        tags += [(323, [tile[1]])]
    tags += [(tag, [7]) for tag in range(40_000, 40_000 + more_tags)]
    arrays = 8 + 2 + 12 * (len(tags) + 2) + 4
    body = arrays + 8 * pieces
    tags += [(names[2], [body] * pieces), (names[3], [len(piece)] * pieces)]  # type: ignore[list-item]
    table, data = b"", b""
    for tag, values in sorted(tags):
        packed = array("I", values)
        if order == ">":
            packed.byteswap()
        if pieces > 1 and len(values) == pieces:
            table += struct.pack(f"{order}HHII", tag, 4, pieces, arrays + len(data))
            data += packed.tobytes()
        else:
            table += struct.pack(f"{order}HHI", tag, 4, 1) + packed.tobytes()
    magic = b"II*\0" if order == "<" else b"MM\0*"
    count = struct.pack(f"{order}H", len(tags))
    return magic + struct.pack(f"{order}I", 8) + count + table + bytes(4) + data.ljust(8 * pieces, b"\0") + piece


def gif(before: bytes) -> bytes:
    """A GIF file of one pixel with blocks before its frame."""
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + before + frame + b";"


def bmp(runs: bytes, side: int = SIDE) -> bytes:
    """A BMP file with run lengths."""
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(runs), 0, 0, 1078) + header + bytes(1024) + runs


def with_stated_size(avif: bytes, width: int, height: int) -> bytes:
    """An AVIF file that calls itself smaller or larger than its frames are."""
    place = avif.index(b"ispe") + 8
    return avif[:place] + struct.pack(">II", width, height) + avif[place + 8 :]


def with_frames(avif: bytes, frames: int) -> bytes:
    """An AVIF file of one image, its frame repeated: `mdat` is its last box, and its one extent reaches to its end."""
    start = avif.index(b"mdat") + 4
    frame = avif.index(b"\x32", start)  # OBU_FRAME with a size
    data = avif[start:] + avif[frame:] * (frames - 1)
    place = avif.index(b"iloc")
    length = place + 4 + 4 + 2 + 2 + 2 + 2 + 2 + 4  # version, sizes, count, item, reference, extents, offset
    head = bytearray(avif[: start - 8])
    head[length : length + 4] = struct.pack(">I", len(data))
    return bytes(head) + struct.pack(">I4s", len(data) + 8, b"mdat") + data


def _damaged_text() -> bytes:
    return chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(900_000), 9)[:-1])


def _jpeg_with(extra: bytes) -> bytes:
    photo = encoded(photograph(16, 16), "JPEG")
    return photo[:2] + extra + photo[2:]


HOSTILE: dict[str, Callable[[], bytes]] = {
    "progressive scans": lambda: progressive_jpeg(40_000),
    "sequential scans": lambda: sequential_jpeg(60),
    "arithmetic coding": lambda: jpeg(0xCA, segment(0xDA, b"\1\1\0\0\0\0")),
    "JPEG comments": lambda: _jpeg_with(segment(0xFE) * 200_000),
    "JPEG fill bytes": lambda: _jpeg_with(b"\xff" * 500_000),
    "PNG chunks": lambda: png(chunk(b"abCd") * 100_000),
    "PNG text after the pixels": lambda: png(after=chunk(b"tEXt", b"k\0v") * 100_000),
    "PNG profiles": lambda: png(chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(10**6), 9)) * 200),
    "PNG compressed text": lambda: png(_damaged_text() * 200),
    "PNG empty data chunks": lambda: png(pixels=chunk(b"IDAT") * 100_000 + chunk(b"IDAT", zlib.compress(bytes(72)))),
    "TIFF strips": lambda: tiff(1, 100_000, 100_000),
    "TIFF rows without strips": lambda: tiff(1, 100_000, 1, zlib.compress(b"\0"), compression=8),
    "TIFF tiles of a pixel": lambda: tiff(300, 300, 90_000, tile=(1, 1)),
    "TIFF tile larger than the image": lambda: tiff(8, 8, 1, bytes(9), compression=5, tile=(32_768, 32_768)),
    "TIFF tiles wider than the image": lambda: tiff(1, 40_000, 2_500, compression=8, tile=(16_384, 16)),
    "TIFF tags": lambda: tiff(8, 8, 1, bytes(64), rows=8, more_tags=20_000),
    "TIFF LZMA": lambda: tiff(8, 8, 1, bytes(64), rows=8, compression=34_925),
    "GIF comments": lambda: gif(b"!\xfe\x01a\0" * 100_000),
    "GIF comment in parts": lambda: gif(b"!\xfe" + b"\x01a" * 100_000 + b"\0"),
    "GIF bytes between blocks": lambda: gif(b"\1" * 100_000),
    "BMP runs": lambda: bmp(b"\1\1" * 2_200_000),
    "BMP runs longer than the image": lambda: bmp(b"\0\0" * 100_000, side=8),
    "PPM comments among the pixels": lambda: b"P3 8 8 255\n" + b"#\n" * 10_000,
    "PPM comments before the size": lambda: b"P6\n" + b"#\n" * 10_000 + b"8 8 255\n" + bytes(192),
    "PPM values that are scaled": lambda: b"P6 2000 2000 254\n" + bytes(12_000_000),
    "AVIF larger than it says": lambda: with_stated_size(encoded(photograph(SIDE + 8, SIDE), "AVIF", speed=10), 64, 64),
    "AVIF hidden frames": lambda: with_frames(encoded(photograph(64, 64), "AVIF", speed=10), 40),
}
"""What it is → the file; the server refuses each (422), and so do `predict` and `data`."""
