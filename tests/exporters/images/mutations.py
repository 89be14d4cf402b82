"""Broken images: files of some hundred bytes that encoders wrote, with bytes changed, cut, repeated and moved.

`make fuzz` takes 2,000 new ones; the default suite takes a few, the same each time.
"""

import os
import random
from functools import cache

from PIL import Image

from tests.exporters.images.encoding import encoded, photograph

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
EXAMPLES = 2_000 if FUZZING else 60
FIRST = int.from_bytes(os.urandom(4), "big") if FUZZING else 0
"""Of the seeds of images that are read by the hundred; named in what is asserted."""
KINDS = (
    *("JPEG", "progressive JPEG", "PNG", "PNG with text", "WEBP", "lossless WEBP", "animated WEBP"),
    *("TIFF", "LZW TIFF", "JPEG TIFF", "GIF", "animated GIF", "BMP", "run-length BMP", "PPM", "AVIF", "animated AVIF"),
)
_INTERESTING = (
    *(b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x80\0", b"\1\0\0\0\0\0\0\0"),
    *(b"\x1b[2J", b"\x1b]0;owned\x07", b"\xff\xda", b"\xff\xd9", b"IDAT", b"zTXt"),
)


@cache
def whole(kind: str) -> bytes:
    """A file of this kind that can be read."""
    image = photograph(24, 17)
    frames = [photograph(24, 17, seed) for seed in range(1, 3)]
    several = {"save_all": True, "append_images": frames}
    form, arguments = {
        "progressive JPEG": ("JPEG", {"progressive": True, "quality": 60}),
        "PNG with text": ("PNG", {"exif": Image.Exif(), "icc_profile": b"profile" * 9, "dpi": (72, 72)}),
        "lossless WEBP": ("WEBP", {"lossless": True}),
        "animated WEBP": ("WEBP", several),
        "LZW TIFF": ("TIFF", {"compression": "tiff_lzw"}),
        "JPEG TIFF": ("TIFF", {"compression": "jpeg"}),
        "animated GIF": ("GIF", {**several, "comment": b"comment"}),
        "animated AVIF": ("AVIF", {**several, "speed": 10}),
        "AVIF": ("AVIF", {"speed": 10}),
    }.get(kind, (kind, {}))
    if kind == "run-length BMP":
        rows = b"".join(b"\x18" + bytes([row]) + b"\0\0" for row in range(17))
        size = (1078 + len(rows) + 2).to_bytes(4, "little")
        head = b"".join(value.to_bytes(4, "little") for value in (40, 24, 17))
        rest = b"\1\0\x08\0" + b"\1\0\0\0" + bytes(4) + bytes(8) + (256).to_bytes(4, "little") + bytes(4)
        return b"BM" + size + bytes(4) + (1078).to_bytes(4, "little") + head + rest + bytes(1024) + rows + b"\0\1"
    return encoded(image, form, **arguments)


def broken_image(seed: int) -> bytes:
    """A file with one to eight changes."""
    draw = random.Random(seed)
    data = bytearray(whole(draw.choice(KINDS)))
    for _ in range(draw.randint(1, 8)):
        # Headers are short, and decide what is decoded.
        place = draw.randrange(min(len(data), draw.choice((64, 256, 10**6)))) if data else 0
        length = draw.randint(1, 40)
        match draw.randrange(8):
            case 0 | 1:
                data[place : place + 1] = bytes([draw.randrange(256)])
            case 2:
                if data:
                    data[place % len(data)] ^= 1 << draw.randrange(8)
            case 3:
                value = draw.choice(_INTERESTING)
                data[place : place + len(value)] = value
            case 4:
                data[place:place] = draw.choice(_INTERESTING)
            case 5:
                del data[place : place + length]
            case 6:
                data[place:place] = data[place : place + length] * draw.choice((1, 2, 50))
            case _:
                del data[draw.randint(0, len(data)) :]
    return bytes(data)
