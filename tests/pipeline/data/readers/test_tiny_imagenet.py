import shutil
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from pipeline.data.readers.tiny_imagenet import read
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.readers.layouts import edit, tiny_imagenet

SETTINGS = Data(dataset="tiny_imagenet")
CODES = ("n02113186", "n02124075", "n02963159")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tiny_imagenet(tmp_path)


def test_boxes_and_unlabelled_test_images_are_ignored(root: Path) -> None:
    listing = read(root, SETTINGS)
    assert listing.ignored == {}
    assert listing.splits["train"].paths[:2] == [
        "train/n02113186/images/n02113186_0.JPEG",
        "train/n02113186/images/n02113186_1.JPEG",
    ]
    assert listing.splits["test"].paths == [f"val/images/val_{i}.JPEG" for i in range(6)]


@pytest.mark.parametrize("to", ["val/{code}", "val/{code}/images", "val/images/{code}"])
@pytest.mark.parametrize("table", [True, False])
def test_val_may_be_sorted_into_class_folders(root: Path, to: str, table: bool) -> None:
    before = read(root, SETTINGS)
    for path, label in zip(before.splits["test"].paths, before.splits["test"].labels, strict=True):
        folder = root / to.format(code=CODES[label])
        folder.mkdir(parents=True, exist_ok=True)
        (root / path).rename(folder / Path(path).name)
    if not table:
        (root / "val/val_annotations.txt").unlink()
    after = read(root, SETTINGS)
    assert after.splits["train"] == before.splits["train"] and after.classes == before.classes
    assert after.splits["test"].labels == [0, 0, 1, 1, 2, 2]
    assert sorted(Path(path).name for path in after.splits["test"].paths) == [f"val_{i}.JPEG" for i in range(6)]


def test_images_may_lie_in_the_class_folder_itself(root: Path) -> None:
    before = read(root, SETTINGS)
    for code in CODES:
        for path in (root / "train" / code / "images").iterdir():
            path.rename(root / "train" / code / path.name)
        (root / "train" / code / "images").rmdir()
    after = read(root, SETTINGS)
    assert after.splits["train"].labels == before.splits["train"].labels
    assert after.ignored == {".txt": 3}


@pytest.mark.parametrize(
    ("file", "line", "text", "message"),
    [
        ("wnids.txt", 2, "cat", r"wnids\.txt, line 2: expected a code such as n01443537, found 'cat'"),
        ("wnids.txt", 3, "n02124075", r"wnids\.txt, line 3: class 'n02124075' stands on line 1 already"),
        ("wnids.txt", 3, "n00000001", r"wnids\.txt, line 3: class 'n00000001' has no line in words\.txt"),
        ("wnids.txt", 3, None, r"train/n02113186: the class is not in .*wnids\.txt"),
        ("wnids.txt", 3, "n00001740", r"wnids\.txt, line 3: class 'n00001740' has no folder .*train/n00001740"),
        ("words.txt", 3, None, r"wnids\.txt, line 1: class 'n02124075' has no line in words\.txt"),
        ("words.txt", 3, "n02124075 Egyptian cat", r"wnids\.txt, line 1: class 'n02124075' has no line"),
        ("words.txt", 3, "n02124075\t , ", r"words\.txt, line 3: expected 'n02124075', a tab and words"),
        ("words.txt", 3, "n02124075\tEgyptian\x1b[2J cat", r"words\.txt: class 'Egyptian\\x1b\[2J cat' holds control"),
        ("val/val_annotations.txt", 2, "val_1.JPEG", r"val_annotations\.txt, line 2: expected '<image><tab><code>'"),
        ("val/val_annotations.txt", 2, "val_1.JPEG\tn1\t0", r"val_annotations\.txt, line 2: expected"),
        ("val/val_annotations.txt", 2, "val_9.JPEG\tn02124075\t0", r"line 2: there is no file .*val_9\.JPEG \(1 of 6"),
        ("val/val_annotations.txt", 2, "val_0.JPEG\tn02124075\t0", r"line 2: .*val_0\.JPEG' stands on line 1 already"),
        ("val/val_annotations.txt", 2, "../../wnids.txt\tn02124075", r"line 2: '.*wnids\.txt' leads out"),
    ],
)
def test_tables_that_are_wrong_name_the_line(root: Path, file: str, line: int, text: str | None, message: str) -> None:
    edit(root / file, line, text)
    with pytest.raises(UnavailableError, match=message) as caught:
        read(root, SETTINGS)
    assert caught.value.remedy


def test_a_class_without_images_is_named(root: Path) -> None:
    for path in (root / "train/n02124075/images").iterdir():
        path.unlink()
    with pytest.raises(UnavailableError, match="train/n02124075/images: the class folder has no images"):
        read(root, SETTINGS)


def test_a_class_without_test_images_is_named(root: Path) -> None:
    table = root / "val/val_annotations.txt"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if "n02963159" not in line))
    with pytest.raises(UnavailableError, match=r"wnids\.txt, line 2: class 'cardigan' has no test image"):
        read(root, SETTINGS)


def test_val_without_labels_is_refused(root: Path) -> None:
    (root / "val/val_annotations.txt").unlink()
    with pytest.raises(UnavailableError, match=r"val: has neither val_annotations\.txt nor a folder"):
        read(root, SETTINGS)


def test_partly_sorted_val_names_the_missing_class(root: Path) -> None:
    (root / "val/n02113186").mkdir()
    shutil.move(root / "val/images/val_1.JPEG", root / "val/n02113186")
    with pytest.raises(UnavailableError, match=r"wnids\.txt, line 1: class 'n02124075' has no folder .*val/n02124075"):
        read(root, SETTINGS)
