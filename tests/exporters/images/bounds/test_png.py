import io

import pytest

from exporters.images.bounds.png import MAX_CHUNKS, MAX_COMPRESSED_CHUNKS, check_png
from exporters.images.bounds.refused import RefusedError
from tests.exporters.images.encoding import encoded, photograph
from tests.exporters.images.hostile import chunk, png


def test_chunks_up_to_the_limit_pass() -> None:
    check_png(io.BytesIO(png(chunk(b"tEXt", b"k\0v") * (MAX_CHUNKS - 1))))  # the header is one too
    check_png(io.BytesIO(png(chunk(b"zTXt", b"k\0\0") * MAX_COMPRESSED_CHUNKS)))
    with pytest.raises(RefusedError, match="PNG chunks"):
        check_png(io.BytesIO(png(chunk(b"tEXt", b"k\0v") * MAX_CHUNKS)))
    with pytest.raises(RefusedError, match="compressed PNG chunks"):
        check_png(io.BytesIO(png(chunk(b"iTXt", b"k\0\0") * (MAX_COMPRESSED_CHUNKS + 1))))


def test_one_profile_passes_and_two_do_not() -> None:
    check_png(io.BytesIO(png(chunk(b"iCCP"))))
    with pytest.raises(RefusedError, match="two colour profiles"):
        check_png(io.BytesIO(png(chunk(b"iCCP") * 2)))


def test_later_frames_of_an_animation_are_not_counted() -> None:
    frames = [photograph(8, 8, seed) for seed in range(5)]
    animated = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    end = animated.rindex(b"IEND") - 4
    check_png(io.BytesIO(animated[:end] + chunk(b"fdAT") * 2 * MAX_CHUNKS + animated[end:]))


def test_lengths_beyond_the_file_are_left_to_the_decoder() -> None:
    check_png(io.BytesIO(png()[:40] + b"\xff" * 40))
