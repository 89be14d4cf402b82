from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from exporters.images.class_folders import ClassFolder, find_split_folders, read_class_folders, refuse_other_layouts
from exporters.images.scan import Scan


def put(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def test_split_folders_are_found_below_the_only_folder_and_within_a_doubled_one(tmp_path: Path) -> None:
    put(tmp_path, "archive/train/train/cat/1.jpg", "archive/train/train/dog/1.jpg", "archive/test/cat/2.jpg")
    splits = find_split_folders(Scan(tmp_path), tmp_path)
    assert splits is not None and splits.folder == tmp_path / "archive"
    assert splits.folders == {"train": tmp_path / "archive/train/train", "test": tmp_path / "archive/test"}


def test_classes_named_train_and_test_are_not_splits(tmp_path: Path) -> None:
    assert find_split_folders(Scan(tmp_path), put(tmp_path, "train/1.jpg", "test/2.jpg", "bus/3.jpg")) is None


def test_two_unicode_forms_of_a_name_are_one_class_and_stray_files_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, "caf\u00e9/b.jpg", "cafe\u0301/a.jpg", "tea/deep/c.png", "stray.jpg")
    scan = Scan(tmp_path)
    first, second = read_class_folders(scan, tmp_path)
    assert first.images == ["cafe\u0301/a.jpg", "caf\u00e9/b.jpg"] and len(scan.notes) == 1
    assert second == ClassFolder("tea", ["tea/deep/c.png"])
    assert scan.left_out.counts == {"file outside a class folder": 1}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (("photos/cat/1.jpg", "photos/dog/1.jpg"), "has one folder, photos/"),
        (("set/train/cat/1.jpg", "set/test/cat/1.jpg", "notes/a/1.jpg"), "so that the folders here are no classes"),
        (("a/cat/1.jpg", "a/dog/1.jpg", "b/cat/1.jpg", "b/dog/1.jpg"), "all hold the same folders"),
    ],
)
def test_folders_that_hold_classes_or_splits_are_refused(tmp_path: Path, files: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UnavailableError, match=reason) as caught:
        refuse_other_layouts(put(tmp_path, *files))
    assert "expected DIR/train/<class>" in str(caught.value.remedy)


def test_class_folders_are_accepted(tmp_path: Path) -> None:
    refuse_other_layouts(put(tmp_path, "cat/1.jpg", "dog/1.jpg"))
