from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UnavailableError
from pipeline.data.readers.common import existing_root, notes_on_test, readable_names, unpacked_folder
from tests.pipeline.data.readers.layouts import images

SOURCE = Path("labels.txt")


def test_underscores_and_runs_of_blanks_become_one_blank() -> None:
    assert readable_names(["wood_duck", " Zaun\tkönig\n", "a\u200cb"], SOURCE) == [
        "wood duck",
        "Zaun könig",
        "a\u200cb",
    ]


@pytest.mark.parametrize(
    "name", ["\x1b[31mred", "a\x07b", "a\x7f", "a\x9bb", "\u202eevil", "a\u2066b", "\ufeffa", "a\u200bb", "a\xadb"]
)
def test_control_characters_are_refused(name: str) -> None:
    """They would move a terminal's cursor, turn text round, or hide in a model card."""
    with pytest.raises(UnavailableError, match=r"labels\.txt: class .* holds control characters") as caught:
        readable_names(["wren", name], SOURCE)
    assert all(letter.isprintable() for letter in caught.value.message)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(max_size=8), max_size=4))
def test_names_are_clean_or_refused(raw: list[str]) -> None:
    try:
        names = readable_names(raw, SOURCE)
    except UnavailableError as error:
        assert all(letter.isprintable() for letter in error.message)
        return
    assert len(set(names)) == len(raw) >= 2
    for name in names:
        assert name == " ".join(name.split()) != "" and "_" not in name
        assert not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 for letter in name)


def test_the_line_is_named_where_there_is_one() -> None:
    with pytest.raises(UnavailableError, match=r"labels\.txt, line 9: class 'a_b' reads the same as 'a b'"):
        readable_names(["a b", "a_b"], SOURCE, [4, 9])


def test_message_distinguishes_names_of_different_unicode_forms() -> None:
    with pytest.raises(UnavailableError, match=r"reads the same as .*, written in another Unicode form"):
        readable_names(["caf\u00e9", "cafe\u0301"], SOURCE)


def test_error_names_the_most_complete_folder(tmp_path: Path) -> None:
    images(tmp_path, ["set/one.txt", "set/two.txt"])
    assert unpacked_folder(tmp_path, "x", ("one.txt", "two.txt"), "do", below=("gone", "set")) == tmp_path / "set"
    with pytest.raises(UnavailableError, match=rf"data\.root: {tmp_path}/set has no three\.txt"):
        unpacked_folder(tmp_path, "x", ("one.txt", "two.txt", "three.txt"), "do", below=("set",))


@pytest.mark.parametrize(
    ("name", "noted"), [("test", False), ("val", True), ("valid_images", True), ("holdout", False)]
)
def test_a_test_split_of_another_name_is_noted(name: str, noted: bool) -> None:
    assert bool(notes_on_test({"train": "train", "test": name})) == noted


def test_a_missing_folder_has_the_remedy_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        existing_root(tmp_path / "absent", "cub200", "another")
    assert f"`tmkd-pipeline data prepare cub200 --root {tmp_path / 'absent'}` puts it there" in str(caught.value)
    with pytest.raises(UnavailableError, match="another"):
        existing_root(tmp_path / "absent", "folder", "another")
