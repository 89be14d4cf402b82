import pytest

from exporters.images.bounds.av1 import CodedImage, read_coded_image
from tests.exporters.images.encoding import encoded, photograph


def coded(width: int, height: int, **arguments: object) -> bytes:
    """The content of `mdat`, the last box."""
    data = encoded(photograph(width, height), "AVIF", speed=10, **arguments)
    return data[data.rindex(b"mdat") + 4 :]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 9), (640, 481), (1025, 3)])
def test_size_is_that_of_the_sequence_header(width: int, height: int) -> None:
    assert read_coded_image(coded(width, height)) == CodedImage(1, width * height)


def test_all_frames_of_a_sequence_are_counted() -> None:
    """Its header is the long one, with operating points."""
    frames = [photograph(64, 48, seed) for seed in range(6)]
    data = encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:], speed=10)
    image = read_coded_image(data[data.rindex(b"mdat") + 4 :])
    assert image.pixels == 64 * 48 and image.frames >= 6


def test_units_without_a_size_reach_to_the_end() -> None:
    data = coded(16, 9)
    assert data[:2] == b"\x12\x00"  # a temporal delimiter
    assert read_coded_image(data + b"\x30abc").frames == 2


def test_header_that_ends_too_early_is_an_error() -> None:
    with pytest.raises(ValueError, match="too early"):
        read_coded_image(b"\x0a\x01\x00")
