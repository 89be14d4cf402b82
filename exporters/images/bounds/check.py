"""Which check a file gets, by its first bytes."""

from typing import BinaryIO

from exporters.images.bounds.avif import check_avif
from exporters.images.bounds.jpeg import check_jpeg
from exporters.images.bounds.png import check_png
from exporters.images.bounds.raster import check_bmp, check_gif, check_ppm
from exporters.images.bounds.tiff import check_tiff

_TIFF = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")  # two of them are wrong, and are read


def check_bounds(stream: BinaryIO, max_pixels: int) -> None:
    """Refuse a file whose decoding would cost out of proportion to its pixels; the stream is at its beginning after.

    What is no known kind passes, and so does what is damaged so that nothing would be decoded. WebP has no check: its
    chunks and frames are passed over by libwebp in no time, and one frame alone is decoded.

    Args:
        stream: of any position; seekable.
        max_pixels: of one image.

    Raises:
        RefusedError: says what there is too much of, and the limit.
    """
    stream.seek(0)
    head = stream.read(16)
    if head.startswith(b"\xff\xd8\xff"):
        check_jpeg(stream)
    elif head.startswith(b"\x89PNG\r\n\x1a\n"):
        check_png(stream)
    elif head.startswith(_TIFF):
        check_tiff(stream)
    elif head.startswith((b"GIF87a", b"GIF89a")):
        check_gif(stream)
    elif head.startswith(b"BM"):
        check_bmp(stream)
    elif head[:1] == b"P" and head[1:2] in tuple(b"%d" % kind for kind in range(1, 7)):
        check_ppm(stream)
    elif head[4:8] == b"ftyp":
        check_avif(stream, max_pixels)
    stream.seek(0)
