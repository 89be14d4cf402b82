from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from exporters.core.errors import UnavailableError
from pipeline.data.readers.imagenet import read
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.readers.layouts import IMAGENET_VAL, edit, imagenet, images, kaggle, kit, lines, solution

SETTINGS = Data(dataset="imagenet")
FLAT = [f"val/ILSVRC2012_val_{i:08}.JPEG" for i in range(1, 5)]
LABELS = [2, 0, 1, 0]
TRUTH = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"


@pytest.mark.parametrize("val", ["solution", "kit"])
def test_flat_images_have_their_labels_from_a_table(tmp_path: Path, val: str) -> None:
    listing = read(imagenet(tmp_path, val), SETTINGS)
    assert listing.splits["test"].paths == FLAT and listing.splits["test"].labels == LABELS
    assert listing.classes == ["tench", "crane bird", "construction crane"]


def test_the_kit_may_be_unpacked_into_the_root_itself(tmp_path: Path) -> None:
    root = imagenet(tmp_path, "flat")
    kit(root)
    assert read(root, SETTINGS).splits["test"].labels == LABELS


@pytest.mark.parametrize("below", ["", "ILSVRC/Data/CLS-LOC"])
def test_kaggle_folder_is_read(tmp_path: Path, below: str) -> None:
    listing = read(kaggle(tmp_path) / below, SETTINGS)
    assert listing.root == tmp_path / "ILSVRC/Data/CLS-LOC"
    assert listing.splits["test"].paths == FLAT and listing.splits["test"].labels == LABELS


def test_flat_images_that_are_missing_are_counted_only(tmp_path: Path) -> None:
    root = imagenet(tmp_path, "kit")
    (root / FLAT[3]).unlink()
    listing = read(root, SETTINGS)
    assert listing.splits["test"].labels == LABELS[:3]
    assert listing.unofficial()["test"] == (3, 50_000)


def test_other_files_are_counted(tmp_path: Path) -> None:
    root = imagenet(tmp_path)
    (root / "train/n01440764/notes.txt").touch()
    (root / "train/n01440764/.hidden.JPEG").touch()
    assert read(root, SETTINGS).ignored == {".txt": 1, "hidden file": 1}


def test_code_unknown_to_wordnet_is_its_own_name(tmp_path: Path) -> None:
    images(tmp_path, (f"{part}/{code}/1.JPEG" for part in ("train", "val") for code in ("n01440764", "n99999999")))
    assert read(tmp_path, SETTINGS).classes == ["tench", "n99999999"]


@pytest.mark.parametrize(
    ("add", "message"),
    [
        ("train/cats/1.JPEG", "train/cats: expected a folder called by a code"),
        ("train/n02085620/1.JPEG", "train/n02085620: the class has no folder in val/"),
        ("val/n02085620/1.JPEG", "val/n02085620: the class has no folder in train/"),
        ("train/n02085620/notes.txt", "train/n02085620: the class folder has no images"),
        ("val/ILSVRC2012_val_00000009.JPEG", "val: 1 images lie beside class folders such as n01440764/"),
    ],
)
def test_folders_that_do_not_fit_are_named(tmp_path: Path, add: str, message: str) -> None:
    images(imagenet(tmp_path), [add])
    with pytest.raises(UnavailableError, match=message) as caught:
        read(tmp_path, SETTINGS)
    assert caught.value.remedy


def test_packed_class_archives_are_reported(tmp_path: Path) -> None:
    images(tmp_path, ["train/n01440764.tar", "val/n01440764/1.JPEG"])
    with pytest.raises(UnavailableError, match="train: has no class folders") as caught:
        read(tmp_path, SETTINGS)
    assert "n*.tar" in str(caught.value)


def test_flat_images_without_a_table_name_the_missing_table(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="val: the images lie in one folder, and there is no table") as caught:
        read(imagenet(tmp_path, "flat"), SETTINGS)
    assert "LOC_val_solution.csv" in str(caught.value) and "ILSVRC2012_devkit_t12" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (3, "ILSVRC2012_val_00000003", r"solution\.csv, line 3: expected 'ILSVRC2012_val_<number>,<code> …'"),
        (3, "ILSVRC2012_val_00000003,tench 1 2 3 4", r"solution\.csv, line 3: expected"),
        (3, "ILSVRC2012_val_00000003,n02085620 1 2 3 4", r"line 3: .*00003\.JPEG is of class 'n02085620'"),
        (3, None, r"ILSVRC2012_val_00000003\.JPEG: has no label in .*LOC_val_solution\.csv"),
    ],
)
def test_a_solution_that_is_wrong_names_the_line(tmp_path: Path, line: int, text: str | None, message: str) -> None:
    edit(imagenet(tmp_path, "solution") / "LOC_val_solution.csv", line, text)
    with pytest.raises(UnavailableError, match=message):
        read(tmp_path, SETTINGS)


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (2, "5", r"ground_truth\.txt, line 2: expected a class number of meta\.mat, found '5'"),
        (2, "tench", r"ground_truth\.txt, line 2: expected a class number"),
        (2, "1001", r"line 2: ILSVRC2012_val_00000002\.JPEG is of class 'n00001740', which has no folder"),
        (4, None, r"ILSVRC2012_val_00000004\.JPEG: has no label in .*ground_truth\.txt"),
    ],
)
def test_a_ground_truth_that_is_wrong_names_the_line(tmp_path: Path, line: int, text: str | None, message: str) -> None:
    edit(imagenet(tmp_path, "kit") / TRUTH, line, text)
    with pytest.raises(UnavailableError, match=message):
        read(tmp_path, SETTINGS)


def test_a_class_without_a_flat_image_is_named(tmp_path: Path) -> None:
    root = imagenet(tmp_path, "solution")
    (root / FLAT[IMAGENET_VAL.index("n02012849")]).unlink()
    with pytest.raises(UnavailableError, match="val: class 'n02012849' has no image"):
        read(root, SETTINGS)


def test_damaged_tables_are_named(tmp_path: Path) -> None:
    root = imagenet(tmp_path, "kit")
    meta = root / "ILSVRC2012_devkit_t12/data/meta.mat"
    savemat(meta, {"synsets": np.arange(3)})
    with pytest.raises(UnavailableError, match=r"meta\.mat: 'synsets' has no fields ILSVRC2012_ID and WNID"):
        read(root, SETTINGS)
    meta.write_bytes(b"no matrix")
    with pytest.raises(UnavailableError, match=r"meta\.mat: cannot be read as a MATLAB file"):
        read(root, SETTINGS)
    solution(root)
    lines(root / "LOC_val_solution.csv", ["ImageId,PredictionString"])
    with pytest.raises(UnavailableError, match=r"LOC_val_solution\.csv: has no rows"):
        read(root, SETTINGS)
