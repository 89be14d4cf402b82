from exporters.images.decoding import FORMATS
from exporters.images.suffixes import IMAGE_SUFFIXES, SUFFIXES, has_image_suffix


def test_every_format_that_is_decoded_has_its_suffixes() -> None:
    assert set(SUFFIXES) == set(FORMATS) and all(SUFFIXES.values())
    assert {".avif", ".jp2", ".jfif", ".jpe", ".pgm", ".jpg"} <= IMAGE_SUFFIXES


def test_case_makes_no_difference_and_a_dot_alone_is_no_suffix() -> None:
    assert has_image_suffix("a.JPG") and has_image_suffix("a.b.jp2")
    assert not any(map(has_image_suffix, ("jpg", ".jpg", "a.jpg.txt", "a.", "")))
