import io
import struct

import pytest

from exporters.images.bounds.avif import MAX_FRAMES, check_avif
from exporters.images.bounds.refused import RefusedError
from exporters.images.decoding import open_rgb
from tests.exporters.images.encoding import encoded, photograph
from tests.exporters.images.hostile import with_frames, with_stated_size

AVIF = encoded(photograph(64, 48), "AVIF", speed=10)


def test_frames_up_to_the_limit_pass() -> None:
    check_avif(io.BytesIO(with_frames(AVIF, MAX_FRAMES)), 64 * 48)
    with pytest.raises(RefusedError, match=f"more than {MAX_FRAMES} frames"):
        check_avif(io.BytesIO(with_frames(AVIF, MAX_FRAMES + 1)), 64 * 48)


def test_repeated_frames_are_what_the_decoder_reads() -> None:
    """Else the tests here would count what nobody would decode."""
    assert open_rgb(with_frames(AVIF, 2)).size == (64, 48)


def test_what_the_metadata_state_does_not_hide_the_size_of_the_frames() -> None:
    check_avif(io.BytesIO(with_stated_size(AVIF, 8, 8)), 64 * 48)
    with pytest.raises(RefusedError, match="frames have 3,072 pixels, more than 3,071"):
        check_avif(io.BytesIO(with_stated_size(AVIF, 8, 8)), 64 * 48 - 1)


def test_extent_without_a_length_reaches_to_the_end() -> None:
    place = AVIF.index(b"iloc") + 22
    data = with_frames(AVIF, MAX_FRAMES + 1)
    assert AVIF[place : place + 4] == struct.pack(">I", len(AVIF) - AVIF.index(b"mdat") - 4)
    with pytest.raises(RefusedError, match="frames, shown or not"):
        check_avif(io.BytesIO(data[:place] + bytes(4) + data[place + 4 :]), 64 * 48)


def test_extents_that_overlap_or_lie_beyond_any_file_are_refused() -> None:
    place = AVIF.index(b"iloc") + 22
    with pytest.raises(RefusedError, match="overlap"):
        check_avif(io.BytesIO(AVIF[:place] + b"\xff\xff\xff\xff" + AVIF[place + 4 :]), 64 * 48)
    sizes = AVIF.index(b"iloc") + 8
    wide = AVIF[:sizes] + b"\x88" + AVIF[sizes + 1 : place - 4] + b"\xff" * 8 + bytes(7) + b"\1" + AVIF[place + 4 :]
    with pytest.raises(RefusedError, match=r"damaged|overlap"):
        check_avif(io.BytesIO(wide), 64 * 48)


def test_transparency_and_animations_pass() -> None:
    check_avif(io.BytesIO(encoded(photograph(64, 48).convert("RGBA"), "AVIF")), 64 * 48)
    frames = [photograph(64, 48, seed) for seed in range(20)]
    animated = encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:], speed=10)
    check_avif(io.BytesIO(animated), 64 * 48)
    with pytest.raises(RefusedError, match="frames have"):
        check_avif(io.BytesIO(animated), 64 * 48 - 1)
    place = animated.index(b"stsz") + 12
    with pytest.raises(RefusedError, match=r"more than 100,000 AVIF frames"):
        check_avif(io.BytesIO(animated[:place] + struct.pack(">I", 10**9) + animated[place + 4 :]), 64 * 48)


def test_number_of_items_is_limited() -> None:
    for box, skip in ((b"iinf", 8), (b"iloc", 10)):
        place = AVIF.index(box) + skip
        with pytest.raises(RefusedError, match="more than 1,024 AVIF items"):
            check_avif(io.BytesIO(AVIF[:place] + b"\xff\xff" + AVIF[place + 2 :]), 64 * 48)


@pytest.mark.parametrize("length", range(0, len(AVIF), 11))
def test_damaged_files_are_refused_or_left_to_the_decoder(length: int) -> None:
    for damaged in (AVIF[:length], AVIF[:length] + b"\xff" + AVIF[length + 1 :]):
        try:
            check_avif(io.BytesIO(damaged), 64 * 48)
        except RefusedError as error:
            assert "AVIF" in str(error)
