import io
import struct

import numpy as np
import pytest

from exporters.images.bounds.refused import RefusedError
from exporters.images.bounds.tiff import MAX_PIECES, check_tiff
from exporters.images.decoding import open_rgb
from tests.exporters.images.encoding import encoded, photograph
from tests.exporters.images.hostile import tiff


@pytest.mark.parametrize("order", "<>")
def test_strips_up_to_the_limit_pass(order: str) -> None:
    check_tiff(io.BytesIO(tiff(1, MAX_PIECES, MAX_PIECES, order=order)))
    with pytest.raises(RefusedError, match="strips or tiles"):
        check_tiff(io.BytesIO(tiff(1, MAX_PIECES + 1, MAX_PIECES + 1, order=order)))


def test_written_files_are_those_that_pillow_reads() -> None:
    """Else the tests here would refuse what nobody would decode."""
    for data in (tiff(4, 3, 3, bytes([9] * 4)), tiff(4, 3, 1, bytes([9] * 256), tile=(16, 16))):
        check_tiff(io.BytesIO(data))
        assert np.all(np.asarray(open_rgb(data)) == 9)


@pytest.mark.parametrize("compression", [None, "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "jpeg"])
def test_common_compressions_pass(compression: str | None) -> None:
    data = encoded(photograph(40, 30), "TIFF", compression=compression)
    check_tiff(io.BytesIO(data))
    assert open_rgb(data).size == (40, 30)


def test_large_files_of_the_second_kind_are_read_too() -> None:
    data = encoded(photograph(40, 30), "TIFF", big_tiff=True)
    check_tiff(io.BytesIO(data))
    place = data.index(struct.pack("<HHQ", 257, 4, 1)) if struct.pack("<HHQ", 257, 4, 1) in data else -1
    if place < 0:
        place = data.index(struct.pack("<HHQ", 257, 3, 1))
    tall = data[: place + 2] + struct.pack("<HQQ", 4, 1, 10**6) + data[place + 20 :]
    rows = tall.index(struct.pack("<H", 278), 16)
    strips = tall[: rows + 2] + struct.pack("<HQQ", 4, 1, 1) + tall[rows + 20 :]
    with pytest.raises(RefusedError, match="strips or tiles"):
        check_tiff(io.BytesIO(strips))


def test_of_a_tag_that_is_there_twice_the_worse_one_counts() -> None:
    data = tiff(1, 100_000, 1, rows=100_000)
    check_tiff(io.BytesIO(data))
    again = struct.pack("<HHII", 278, 4, 1, 1)
    count = struct.unpack_from("<H", data, 8)[0]
    twice = data[:8] + struct.pack("<H", count + 1) + data[10 : 10 + 12 * count] + again + data[10 + 12 * count :]
    with pytest.raises(RefusedError, match="strips or tiles"):
        check_tiff(io.BytesIO(twice))


def test_directory_beyond_the_file_is_left_to_the_decoder() -> None:
    check_tiff(io.BytesIO(b"II*\0" + struct.pack("<I", 10**9)))
    check_tiff(io.BytesIO(b"II*\0\x08\0"))
