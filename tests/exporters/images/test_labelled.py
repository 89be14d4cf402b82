"""Folders of labelled images."""

from pathlib import Path

from exporters.images.labelled import folders_of, labelled_digest, labelled_images
from tests.exporters.conftest import LABELS


def test_labels_that_read_alike_go_by_their_own_names() -> None:
    place_of = folders_of(["a b", "a_b", "c_d", "1.e"])
    names = ("a b", "a_b", "c d", "c_d", "a  b", "1.e", "7.c_d", "7.a_b")
    assert [place_of(name) for name in names] == [0, 1, None, 2, None, 3, 2, 1]
    assert [folders_of(["c_d", "e"])(name) for name in ("c d", "c_d", "3.c d", "d")] == [0, 0, 0, None]


def test_folders_match_labels_in_any_unicode_form() -> None:
    assert folders_of(["caf\u00e9", "tea"])("cafe\u0301") == 0 == folders_of(["cafe\u0301", "tea"])("2.caf\u00e9")


def test_digest_depends_on_labels_but_not_on_order() -> None:
    images = [(bytes([index]) * 32, LABELS[index % 7]) for index in range(9)]
    assert labelled_digest(images) == labelled_digest(images[::-1])
    assert labelled_digest(images) != labelled_digest([(images[0][0], LABELS[3]), *images[1:]])
    assert labelled_digest(images) != labelled_digest([*images, images[0]])


def test_images_at_any_depth_get_the_index_of_their_label(tmp_path: Path) -> None:
    for name in ("2.blue_bar/a.png", "2.blue_bar/deep/b.jpg", "wren/c.png", "wren/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = labelled_images(tmp_path, ["wren", "blue bar"])
    assert [(path.name, label) for path, label in found.images] == [("a.png", 1), ("b.jpg", 1), ("c.png", 0)]
    assert (found.folder, found.left_out) == (tmp_path, "1 .txt (wren/notes.txt)")
