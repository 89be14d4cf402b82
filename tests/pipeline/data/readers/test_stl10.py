from pathlib import Path

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from pipeline.data.readers.stl10 import FILES, read
from pipeline.data.stores.registry import open_store
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.containers import write_stl10


def test_images_stand_upright_and_the_unlabelled_are_left_out(tmp_path: Path):
    pixels = write_stl10(tmp_path)
    listing = read(tmp_path, Data())
    assert listing.classes == ["airplane", "bird", "car"]
    assert listing.ignored == {"unlabelled": 2}
    store = open_store(listing.store, listing.root)
    for split in ("train", "test"):
        assert listing.splits[split].labels == [0, 1, 2, 0, 1, 2]
        for number, key in enumerate(listing.splits[split].paths):
            np.testing.assert_array_equal(np.asarray(store.image(key)), pixels[split][number])
    assert listing.unofficial() == {"train": (6, 5_000), "test": (6, 8_000)}


def test_torchvision_reads_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("torchvision.datasets")
    write_stl10(tmp_path)
    monkeypatch.setattr(datasets.STL10, "_check_integrity", lambda self: True)
    theirs = datasets.STL10(str(tmp_path), split="test")
    listing = read(tmp_path, Data())
    store = open_store(listing.store, listing.root)
    for number, key in enumerate(listing.splits["test"].paths):
        image, label = theirs[number]
        assert image.tobytes() == store.image(key).tobytes() and label == listing.splits["test"].labels[number]


def test_the_folder_itself_may_be_the_root(tmp_path: Path):
    write_stl10(tmp_path)
    (tmp_path / "stl10_binary" / "unlabeled_X.bin").unlink()
    listing = read(tmp_path / "stl10_binary", Data())
    assert len(listing.splits["train"]) == 6 and listing.ignored == {}


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str):
    write_stl10(tmp_path)
    (tmp_path / "stl10_binary" / name).unlink()
    with pytest.raises(UnavailableError, match=f"has no {name}") as caught:
        read(tmp_path, Data())
    assert "stl10_binary.tar.gz" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test_X.bin", bytes(27648 + 5), "27,653 bytes are no whole number of images"),
        ("train_y.bin", bytes([1, 2, 3]), "3 labels for 6 images in train_X.bin"),
        ("train_y.bin", bytes([1, 2, 3, 1, 2, 9]), "image 5: label 9 is none of the 3 classes"),
        ("train_y.bin", bytes([1, 2, 3, 1, 0, 2]), "image 4: label 0 is none of the 3 classes"),
        ("train_y.bin", bytes([1, 1, 3, 1, 1, 3]), "class 'bird' has no image in the train split"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path: Path, name: str, content: bytes, message: str):
    write_stl10(tmp_path)
    (tmp_path / "stl10_binary" / name).write_bytes(content)
    with pytest.raises(UnavailableError, match=message):
        read(tmp_path, Data())
