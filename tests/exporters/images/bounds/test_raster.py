import io

import numpy as np
import pytest
from PIL import Image

from exporters.images.bounds.raster import MAX_SLOW_PIXELS, check_bmp, check_gif, check_ppm
from exporters.images.bounds.refused import RefusedError
from exporters.images.decoding import open_rgb
from tests.exporters.images.encoding import encoded, photograph
from tests.exporters.images.hostile import bmp, gif


def test_headers_of_ppm_files_pass_with_comments() -> None:
    for head, pixels in (
        (b"P6 2 1 255\n", 6),
        (b"P5\n# a\n2 1\n#b\n255\n", 2),
        (b"P4\n2 1\n", 1),
        (b"P5 2 1 65535\n", 4),
    ):
        check_ppm(io.BytesIO(head + bytes(pixels)))
        assert open_rgb(head + bytes(pixels)).size == (2, 1)


def test_ppm_values_that_are_scaled_pass_in_small_images() -> None:
    side = int(MAX_SLOW_PIXELS**0.5)
    check_ppm(io.BytesIO(b"P6 %d %d 254\n" % (side, side)))
    with pytest.raises(RefusedError, match="values reach up to 254"):
        check_ppm(io.BytesIO(b"P6 %d %d 254\n" % (side + 1, side)))
    with pytest.raises(RefusedError, match="values reach up to 65534"):
        check_ppm(io.BytesIO(b"P5 %d %d 65534\n" % (side + 1, side)))


def test_run_lengths_of_an_honest_bmp_pass() -> None:
    runs = b"".join(b"\2" + bytes([row]) + b"\0\0" for row in range(2)) + b"\0\1"
    data = bmp(runs, side=2)
    check_bmp(io.BytesIO(data))
    check_bmp(io.BytesIO(encoded(photograph(2000, 2000), "BMP")))
    with pytest.raises(RefusedError, match="run lengths"):
        check_bmp(io.BytesIO(data + bytes(70_000)))


def test_comments_of_an_honest_gif_pass() -> None:
    data = encoded(Image.fromarray(np.zeros((4, 4), np.uint8)), "GIF", comment=b"a" * 5000)
    check_gif(io.BytesIO(data))
    check_gif(io.BytesIO(gif(b"!\xfe\x01a\0" * 1000)))
    check_gif(io.BytesIO(b"GIF89a"))
    assert open_rgb(data).size == (4, 4)
