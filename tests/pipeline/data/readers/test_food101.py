import json
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from pipeline.data.readers.food101 import read
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.readers.layouts import edit, food101

SETTINGS = Data(dataset="food101")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return food101(tmp_path)


def test_json_says_the_same_as_text(root: Path) -> None:
    before = read(root, SETTINGS)
    for split in ("train", "test"):
        (root / f"meta/{split}.txt").unlink()
    assert read(root, SETTINGS) == before


def test_without_labels_the_folders_are_the_names(root: Path) -> None:
    (root / "meta/labels.txt").unlink()
    assert read(root, SETTINGS).classes == ["apple pie", "beef carpaccio", "pho"]


@pytest.mark.parametrize(
    ("file", "line", "text", "message"),
    [
        ("classes", 2, "apple_pie", r"classes\.txt, line 2: 'apple_pie' stands on line 1 already"),
        ("classes", 2, "beignets", r"train\.txt, line 3: expected <class>/<number> with a class of classes\.txt"),
        ("classes", 3, None, r"train\.txt, line 5: expected <class>/<number>"),
        ("labels", 3, None, r"labels\.txt: has 2 names for the 3 of classes\.txt"),
        ("labels", 3, "Apple pie", r"labels\.txt, line 3: class 'Apple pie' reads the same as 'Apple pie'"),
        ("train", 2, "apple_pie", r"train\.txt, line 2: expected <class>/<number>"),
        ("train", 2, "apple_pie/1", r"train\.txt, line 2: there is no file .*apple_pie/1\.jpg \(1 of 9"),
        ("train", 2, "apple_pie/1005649", r"train\.txt, line 2: .* stands on line 1 already"),
        ("test", 1, "apple_pie/1005649", r"test\.txt, line 1: .* stands in .*train\.txt, line 1 already"),
        ("test", 1, "apple_pie/../../x", r"test\.txt, line 1: .* leads out"),
        ("test", 1, None, r"classes\.txt, line 1: class 'apple_pie' has no test image"),
    ],
)
def test_tables_that_are_wrong_name_the_line(root: Path, file: str, line: int, text: str | None, message: str) -> None:
    edit(root / f"meta/{file}.txt", line, text)
    with pytest.raises(UnavailableError, match=message) as caught:
        read(root, SETTINGS)
    assert caught.value.remedy


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"apple_pie": 1}', '{"apple_pie": [1]}', "[" * 20000])
def test_json_that_is_wrong_names_the_file(root: Path, content: str) -> None:
    (root / "meta/test.txt").unlink()
    (root / "meta/test.json").write_text(content)
    with pytest.raises(UnavailableError, match=r"test\.json"):
        read(root, SETTINGS)


def test_missing_image_of_the_json_is_named(root: Path) -> None:
    (root / "meta/test.txt").unlink()
    (root / "meta/test.json").write_text(json.dumps({"apple_pie": ["apple_pie/1011329"], "pho": ["pho/9"]}))
    with pytest.raises(UnavailableError, match=r"test\.json, image 2: there is no file .*pho/9\.jpg"):
        read(root, SETTINGS)
