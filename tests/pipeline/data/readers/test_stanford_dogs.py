from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from exporters.core.errors import UnavailableError
from pipeline.data.readers.stanford_dogs import read
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.readers.layouts import DOGS, cells, dogs_list, stanford_dogs

SETTINGS = Data(dataset="stanford_dogs")
TEST = [(f"{folder}/{folder[:9]}_test0.jpg", number) for number, folder in DOGS.items()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return stanford_dogs(tmp_path)


def test_lists_may_lie_in_the_root_as_their_archive_unpacks(root: Path) -> None:
    before = read(root, SETTINGS)
    for path in sorted((root / "lists").iterdir()):
        path.rename(root / path.name)
    (root / "lists").rmdir()
    assert read(root, SETTINGS) == before
    assert before.splits["test"].paths[0] == "Images/n02085620-Chihuahua/n02085620_test0.jpg"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("n02085620-Chihuahua/gone.jpg", 1), r"test_list\.mat, entry 2: there is no file .*gone\.jpg \(1 of 9 images"),
        (("n02085620_test0.jpg", 1), r"test_list\.mat, entry 2: expected <code>-<breed>/<image> and a class number"),
        (("n02085620-Chihuahua/n02085620_test0.jpg", 2.5), r"test_list\.mat, entry 2: expected <code>"),
        (("n02085620-Chihuahua/x.jpg", 2), r"entry 2: class 2 is 'n02085620-Chihuahua' here, and .* in .*train_list"),
        (("../n02085620-Chihuahua/x.jpg", 4), r"test_list\.mat, entry 2: .* leads out of the data set"),
        (TEST[0], r"test_list\.mat, entry 2: .*test0\.jpg' stands on entry 1 already"),
    ],
)
def test_a_list_that_is_wrong_names_the_entry(root: Path, entry: tuple[str, int], message: str) -> None:
    dogs_list(root / "lists/test_list.mat", [TEST[0], entry, TEST[2]])
    with pytest.raises(UnavailableError, match=message) as caught:
        read(root, SETTINGS)
    assert caught.value.remedy


def test_an_image_for_training_and_test_is_named(root: Path) -> None:
    train = ("n02085620-Chihuahua/n02085620_train1.jpg", 1)
    dogs_list(root / "lists/test_list.mat", [*TEST, train])
    with pytest.raises(UnavailableError, match=r"entry 4: .*train1\.jpg' stands in .*train_list\.mat, entry 2 already"):
        read(root, SETTINGS)


def test_a_class_without_test_images_is_named(root: Path) -> None:
    dogs_list(root / "lists/test_list.mat", TEST[:2])
    with pytest.raises(UnavailableError, match=r"train_list\.mat, entry 5: class 'n02109047-Great_Dane' has no test"):
        read(root, SETTINGS)


def test_fewer_labels_than_images_name_the_entry(root: Path) -> None:
    savemat(root / "lists/test_list.mat", {"file_list": cells(n for n, _ in TEST), "labels": np.array([[1.0], [2.0]])})
    with pytest.raises(UnavailableError, match=r"test_list\.mat, entry 3: expected"):
        read(root, SETTINGS)


def test_a_list_without_its_variables_is_named(root: Path) -> None:
    savemat(root / "lists/test_list.mat", {"labels": np.array([[1.0]])})
    with pytest.raises(UnavailableError, match=r"test_list\.mat: has no variable 'file_list'"):
        read(root, SETTINGS)
