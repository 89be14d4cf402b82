import os
from pathlib import Path

import pytest

from exporters.errors import UnavailableError
from pipeline.data.listing import Listing
from pipeline.data.readers.folder import read
from tests.pipeline.data.conftest import Data, write_folders, write_image

SETTINGS = Data()


def counts(listing: Listing) -> dict[str, int]:
    return {name: len(split) for name, split in listing.splits.items()}


def test_train_and_test_folders(folders: Path):
    listing = read(folders, SETTINGS)
    assert listing.classes == ["teal", "wood duck"]
    assert counts(listing) == {"train": 17, "test": 5}
    assert listing.splits["test"].paths[0] == "test/teal/000.png"
    for split in listing.splits.values():
        for path, label in zip(split.paths, split.labels, strict=True):
            assert path.split("/")[1].replace("_", " ") == listing.classes[label]


def test_val_is_the_test_split_where_there_is_no_test(tmp_path: Path):
    write_folders(tmp_path, {"train/a": 3, "train/b": 3, "val/a": 1, "val/b": 2})
    listing = read(tmp_path, SETTINGS)
    assert counts(listing) == {"train": 6, "test": 3}
    assert all(path.startswith("val/") for path in listing.splits["test"].paths)


def test_val_is_the_validation_split_where_there_is_a_test(folders: Path):
    write_folders(folders, {"val/teal": 2, "val/wood_duck": 2})
    listing = read(folders, SETTINGS)
    assert counts(listing) == {"train": 17, "validation": 4, "test": 5}


def test_plain_class_folders_get_a_test_split(tmp_path: Path):
    write_folders(tmp_path, {"a": 8, "b": 12, "c": 3})
    listing = read(tmp_path, SETTINGS)
    assert [listing.splits["test"].labels.count(label) for label in range(3)] == [2, 3, 1]
    assert sorted(listing.splits["train"].paths + listing.splits["test"].paths) == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")
    )
    assert read(tmp_path, Data(split_seed=1)).splits["test"] != listing.splits["test"]


@pytest.mark.parametrize("name", ["train", "test", "val"])
def test_a_class_may_be_called_like_a_split(tmp_path: Path, name: str):
    write_folders(tmp_path, {name: 4, "car": 4})
    assert read(tmp_path, SETTINGS).classes == sorted([name, "car"])


def test_classes_may_be_called_train_and_test(tmp_path: Path):
    write_folders(tmp_path, {"train": 4, "test": 4})
    listing = read(tmp_path, SETTINGS)
    assert listing.classes == ["test", "train"]
    assert counts(listing) == {"train": 6, "test": 2}


def test_a_class_name_that_is_not_utf8_is_named(tmp_path: Path):
    write_folders(tmp_path, {"train/a": 1, "test/a": 1})
    for split in ("train", "test"):
        write_image(tmp_path / split / os.fsdecode(b"caf\xe9") / "0.png", 0)
    with pytest.raises(UnavailableError, match="not valid UTF-8"):
        read(tmp_path, SETTINGS)


def test_folders_below_a_class_folder_belong_to_the_class(tmp_path: Path):
    write_folders(tmp_path, {"train/a/images": 2, "train/a/more/deep": 1, "train/b": 3, "test/a": 1, "test/b": 1})
    listing = read(tmp_path, SETTINGS)
    assert listing.classes == ["a", "b"]
    assert listing.splits["train"].labels == [0, 0, 0, 1, 1, 1]


def test_other_files_are_counted_and_hidden_ones_passed_over(folders: Path):
    (folders / "train/teal/notes.txt").write_text("x")
    (folders / "train/teal/Thumbs.DB").write_text("x")
    (folders / "train/teal/.hidden.png").write_text("x")
    (folders / "train/.git").mkdir()
    (folders / "train/README").write_text("x")
    (folders / "train/teal/LOUD.JPG").write_text("x")
    listing = read(folders, SETTINGS)
    assert listing.ignored == {".txt": 1, ".db": 1, "outside a class folder": 1}
    assert "train/teal/LOUD.JPG" in listing.splits["train"].paths


def test_order_does_not_depend_on_the_order_of_creation(tmp_path: Path):
    for name in ("z.png", "a.png", "m.png"):
        write_image(tmp_path / "one" / "train/a" / name, 0)
    for name in ("a.png", "m.png", "z.png"):
        write_image(tmp_path / "two" / "train/a" / name, 0)
    for root in ("one", "two"):
        write_folders(tmp_path / root, {"train/b": 2, "test/a": 1, "test/b": 1})
    assert read(tmp_path / "one", SETTINGS).splits == read(tmp_path / "two", SETTINGS).splits


def test_links_within_the_data_set_are_followed(folders: Path):
    (folders / "train/teal/again.png").symlink_to(folders / "train/teal/000.png")
    assert "train/teal/again.png" in read(folders, SETTINGS).splits["train"].paths


@pytest.mark.parametrize("where", ["train/teal/link.png", "train/link", "train/teal/link"])
def test_links_out_of_the_data_set_are_refused(folders: Path, tmp_path_factory: pytest.TempPathFactory, where: str):
    outside = write_folders(tmp_path_factory.mktemp("outside"), {"x": 1})
    (folders / where).symlink_to(outside / "x/000.png" if where.endswith("png") else outside / "x")
    with pytest.raises(UnavailableError, match=r"link.* links to .*outside"):
        read(folders, SETTINGS)


def test_a_split_folder_that_links_out_is_refused(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory):
    outside = write_folders(tmp_path_factory.mktemp("outside"), {"a": 1, "b": 1})
    write_folders(tmp_path, {"train/a": 2, "train/b": 2})
    (tmp_path / "test").symlink_to(outside)
    with pytest.raises(UnavailableError, match="outside"):
        read(tmp_path, SETTINGS)


def test_a_loop_of_links_ends(folders: Path):
    (folders / "train/teal/loop").symlink_to(folders / "train")
    with pytest.raises(UnavailableError, match="loop"):
        read(folders, SETTINGS)


def test_an_empty_class_folder_is_named(folders: Path):
    (folders / "train/smew").mkdir()
    (folders / "train/smew/list.csv").write_text("x")
    with pytest.raises(UnavailableError, match=r"train/smew: the class folder has no images") as caught:
        read(folders, SETTINGS)
    assert caught.value.exit_code == 4
    assert caught.value.remedy


@pytest.mark.parametrize("folder", ["train/smew", "test/smew"])
def test_splits_must_have_the_same_classes(folders: Path, folder: str):
    write_folders(folders, {folder: 2})
    with pytest.raises(UnavailableError, match=rf"{folder}: the class has no folder in"):
        read(folders, SETTINGS)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"train/a": 2, "train/b": 2}, "neither test/ nor val/"),
        ({"test/a": 2, "test/b": 2}, "has test/ but no train/"),
        ({"train/a": 2, "test/a": 2}, "at least 2"),
        ({"a_b": 3, "a b": 3}, "reads the same"),
        ({"a": 3, "b": 1}, "class 'b' has 1 training image"),
        ({"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 1, "val/a": 1, "valid/a": 1}, "both val/ and valid/"),
        ({}, "has no class folders"),
    ],
)
def test_what_is_no_such_layout_is_told(tmp_path: Path, made: dict[str, int], message: str):
    with pytest.raises(UnavailableError, match=message):
        read(write_folders(tmp_path, made), SETTINGS)


def test_a_train_folder_without_classes_is_named(tmp_path: Path):
    write_folders(tmp_path, {"test/a": 1, "test/b": 1})
    (tmp_path / "train").mkdir()
    with pytest.raises(UnavailableError, match="train: has no class folders"):
        read(tmp_path, SETTINGS)


@pytest.mark.skipif(os.geteuid() == 0 and os.name == "posix", reason="root reads everything")
def test_a_folder_that_cannot_be_listed_is_named(folders: Path):
    (folders / "train/teal").chmod(0)
    try:
        with pytest.raises(UnavailableError, match="teal: cannot be listed"):
            read(folders, SETTINGS)
    finally:
        (folders / "train/teal").chmod(0o755)


@pytest.mark.parametrize("root", [None, Path("no/such/folder")])
def test_a_missing_root_is_told_with_its_remedy(root: Path | None):
    with pytest.raises(UnavailableError, match=r"data\.root") as caught:
        read(root, SETTINGS)
    assert "--set data.root=" in str(caught.value)
