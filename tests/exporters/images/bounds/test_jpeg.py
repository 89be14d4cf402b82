import io

import pytest

from exporters.images.bounds.jpeg import MAX_SCANS, MAX_SEGMENTS, check_jpeg
from exporters.images.bounds.refused import RefusedError
from tests.exporters.images.encoding import encoded, photograph
from tests.exporters.images.hostile import progressive_jpeg, segment


def test_scans_up_to_the_limit_pass() -> None:
    check_jpeg(io.BytesIO(progressive_jpeg(MAX_SCANS - 1, side=64)))  # one more than its refinements
    with pytest.raises(RefusedError, match=f"more than {MAX_SCANS} JPEG scans"):
        check_jpeg(io.BytesIO(progressive_jpeg(MAX_SCANS, side=64)))


def test_markers_inside_segments_and_behind_the_image_are_no_scans() -> None:
    thumbnail = segment(0xE1, b"Exif\0\0" + segment(0xDA, b"\0" * 6) * 500)
    photo = encoded(photograph(64, 64), "JPEG", progressive=True)
    end = photo.rindex(b"\xff\xd9")
    check_jpeg(io.BytesIO(photo[:2] + thumbnail + photo[2:end] + thumbnail + photo[end:] + segment(0xDA) * 100))


def test_restart_markers_and_stuffed_bytes_are_no_scans() -> None:
    for arguments in ({"restart_marker_blocks": 1}, {"quality": 100, "restart_marker_rows": 1}):
        for progressive in (False, True):
            check_jpeg(io.BytesIO(encoded(photograph(300, 200), "JPEG", progressive=progressive, **arguments)))


def test_scans_of_a_grey_and_a_cmyk_progressive_file_pass() -> None:
    for mode in ("L", "CMYK"):
        check_jpeg(io.BytesIO(encoded(photograph(64, 64).convert(mode), "JPEG", progressive=True)))


def test_segments_are_counted_between_scans_too() -> None:
    photo = progressive_jpeg(2, side=64)
    end = photo.rindex(b"\xff\xd9")
    with pytest.raises(RefusedError, match="JPEG segments"):
        check_jpeg(io.BytesIO(photo[:end] + segment(0xFE) * (MAX_SEGMENTS + 1) + photo[end:]))


@pytest.mark.parametrize("length", range(0, 700, 7))
def test_truncated_files_are_left_to_the_decoder(length: int) -> None:
    check_jpeg(io.BytesIO(encoded(photograph(64, 64), "JPEG", progressive=True)[:length]))
