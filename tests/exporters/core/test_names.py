import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from exporters.core.names import normalized, path_on_disk, similar_names


@given(st.text(max_size=12))
def test_every_unicode_form_compares_alike(name: str) -> None:
    assert normalized(unicodedata.normalize("NFD", name)) == normalized(unicodedata.normalize("NFC", name))
    assert normalized(normalized(name)) == normalized(name)


def test_names_that_differ_in_case_and_blanks_alone_are_grouped() -> None:
    assert similar_names(["Wood Duck", "teal", "woodduck", "caf\u00e9", "CAFE\u0301", "Teal2"]) == [
        ["Wood Duck", "woodduck"],
        ["caf\u00e9", "CAFE\u0301"],
    ]


def test_a_path_is_found_in_another_unicode_form(tmp_path: Path) -> None:
    there = tmp_path / "cafe\u0301" / "u\u0308.png"
    there.parent.mkdir()
    there.touch()
    assert path_on_disk(tmp_path / "caf\u00e9" / "\u00fc.png") == there
    assert path_on_disk(there) == there
    for absent in (tmp_path / "caf\u00e8", tmp_path / "none" / "\u00fc.png"):
        assert path_on_disk(absent) == absent
    (tmp_path / "caf\u00e9").mkdir()  # both are there: each is itself
    assert path_on_disk(tmp_path / "caf\u00e9") == tmp_path / "caf\u00e9"
