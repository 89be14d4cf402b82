from exporters.images.decoding import FORMATS
from exporters.images.suffixes import IMAGE_SUFFIXES, SUFFIXES, has_image_suffix


def test_every_decoded_format_has_suffixes() -> None:
    assert set(SUFFIXES) == set(FORMATS) and all(SUFFIXES.values())
    assert {".avif", ".jfif", ".jpe", ".pgm", ".jpg"} <= IMAGE_SUFFIXES


def test_suffix_case_is_ignored_and_dotfiles_have_no_suffix() -> None:
    assert has_image_suffix("a.JPG") and has_image_suffix("a.b.tif")
    assert not any(map(has_image_suffix, ("jpg", ".jpg", "a.jpg.txt", "a.", "")))
