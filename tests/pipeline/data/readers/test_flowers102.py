from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from exporters.core.errors import UnavailableError
from pipeline.data.readers.flowers102 import CLASSES, read
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.readers.layouts import flowers102, flowers_sets

SETTINGS = Data(dataset="flowers102")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return flowers102(tmp_path)


def test_class_names_match_torchvision() -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    assert list(CLASSES) == [name.rstrip("?") for name in datasets.Flowers102.classes]


def test_train_and_test_sets_are_not_swapped(root: Path) -> None:
    """Training on the larger set would swap them."""
    listing = read(root, SETTINGS)
    assert listing.splits["train"].paths == [f"jpg/image_{i:05}.jpg" for i in (6, 4, 5)]
    assert listing.splits["validation"].paths == [f"jpg/image_{i:05}.jpg" for i in (3, 1, 2)]
    assert len(listing.splits["test"]) == 4


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (([6, 11, 5], [3, 1, 2], [7, 8, 9]), r"setid\.mat, trnid, entry 2: image 11 has no label .* which has 10"),
        (([6, 0, 5], [3, 1, 2], [7, 8, 9]), r"setid\.mat, trnid, entry 2: image 0 has no label"),
        (([6, 4, 5], [3, 4, 2], [7, 8, 9]), r"valid, entry 2: .*00004\.jpg' stands on trnid, entry 2 already"),
        (([6, 4, 5], [3, 1, 2], [7, 8]), r"imagelabels\.mat, entry 6: class 'pink-yellow dahlia' has no test image"),
    ],
)
def test_sets_that_are_wrong_name_the_entry(root: Path, sets: tuple[list[int], ...], message: str) -> None:
    flowers_sets(root, *sets)
    with pytest.raises(UnavailableError, match=message) as caught:
        read(root, SETTINGS)
    assert caught.value.remedy


@pytest.mark.parametrize("label", [0, 103])
def test_a_label_out_of_range_is_named(root: Path, label: int) -> None:
    savemat(root / "imagelabels.mat", {"labels": np.array([[77, 1, 60, label, 1, 60, 77, 1, 60, 1]], dtype=np.uint8)})
    with pytest.raises(
        UnavailableError, match=rf"imagelabels\.mat, entry 4: expected a class from 1 to 102, found {label}"
    ):
        read(root, SETTINGS)


def test_a_missing_image_is_named(root: Path) -> None:
    (root / "jpg/image_00004.jpg").unlink()
    (root / "jpg/image_00009.jpg").unlink()
    with pytest.raises(UnavailableError, match=r"trnid, entry 2: there is no file .*00004\.jpg \(2 of 10 images are"):
        read(root, SETTINGS)
