import struct
from pathlib import Path

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from pipeline.data.listing import Listing
from pipeline.data.registry import load_reader
from pipeline.data.stores.registry import open_store
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.containers import (
    CIFAR10_NAMES,
    labels_of,
    noise,
    planes,
    publish_checksums,
    write_cifar10,
    write_cifar100,
    write_pickled_cifar10,
)

SETTINGS = Data()


def read(name: str, root: Path) -> Listing:
    return load_reader(name)(root, SETTINGS)


def test_binary_cifar10_is_read(tmp_path: Path):
    pixels = write_cifar10(tmp_path)
    listing = read("cifar10", tmp_path)
    assert listing.classes == list(CIFAR10_NAMES)
    train, test = listing.splits["train"], listing.splits["test"]
    assert (len(train), len(test)) == (30, 6)
    assert train.labels == [0, 1, 2] * 10 and test.labels == [0, 1, 2] * 2
    assert train.paths[7] == "data_batch_2/1" and test.paths[5] == "test_batch/5"
    store = open_store(listing.store, listing.root)
    for key in (*train.paths, *test.paths):
        stem, number = key.split("/")
        np.testing.assert_array_equal(np.asarray(store.image(key)), pixels[stem][int(number)])
    assert listing.unofficial() == {"train": (30, 50_000), "test": (6, 10_000)}


def test_fine_labels_of_cifar100_are_read(tmp_path: Path):
    pixels = write_cifar100(tmp_path)
    listing = read("cifar100", tmp_path)
    assert listing.classes == ["apple", "aquarium fish", "baby"]
    assert listing.splits["train"].labels == listing.splits["test"].labels == [0, 1, 2] * 3
    image = open_store(listing.store, listing.root).image("test/4")
    np.testing.assert_array_equal(np.asarray(image), pixels["test"][4])


@pytest.mark.parametrize("protocol", [2, 4])
def test_the_python_version_is_the_same_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int):
    write_cifar10(tmp_path / "binary")
    write_pickled_cifar10(tmp_path / "python", monkeypatch, protocol)
    binary, python = read("cifar10", tmp_path / "binary"), read("cifar10", tmp_path / "python")
    assert (python.store, binary.store) == ("pickled:cifar10", "records:cifar10")
    assert (python.classes, python.splits) == (binary.classes, binary.splits)
    one, two = (open_store(listing.store, listing.root) for listing in (binary, python))
    for key in binary.splits["train"].paths:
        (hash_one, image_one), (hash_two, image_two) = one.examine(key), two.examine(key)
        assert hash_one == hash_two and image_one.tobytes() == image_two.tobytes()


def pickle_of_python_2(pixels: np.ndarray, labels: list[int]) -> bytes:
    """`{"data": pixels, "labels": labels}` as Python 2 and the numpy of 2009 wrote it, opcode by opcode."""
    count, width = pixels.shape
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    content = pixels.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01K"
        + bytes([count])
        + struct.pack("<cH", b"M", width)
        + b"\x86"
        + dtype
        + b"\x89T"
        + struct.pack("<I", len(content))
        + content
        + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + numbers + b"u."


def test_python_2_pickles_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_pickled_cifar10(tmp_path, monkeypatch)
    expected = read("cifar10", tmp_path)
    pixels = planes(noise(0, 6, 32))
    (folder / "data_batch_1").write_bytes(pickle_of_python_2(pixels, labels_of(6, 3).tolist()))
    publish_checksums(folder, monkeypatch)
    listing = read("cifar10", tmp_path)
    assert listing.splits == expected.splits
    store = open_store(listing.store, listing.root)
    assert [store.read(f"data_batch_1/{number}") for number in range(6)] == [row.tobytes() for row in pixels]


def test_the_folder_itself_may_be_the_root(tmp_path: Path):
    write_cifar10(tmp_path)
    write_cifar100(tmp_path)
    assert read("cifar10", tmp_path / "cifar-10-batches-bin").splits == read("cifar10", tmp_path).splits
    assert read("cifar100", tmp_path / "cifar-100-binary").splits == read("cifar100", tmp_path).splits


def test_a_file_that_was_cut_is_named(tmp_path: Path):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_4.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UnavailableError, match=r"data_batch_4\.bin: 18,437 bytes are no whole number of records"):
        read("cifar10", tmp_path)


@pytest.mark.parametrize("name", ["data_batch_2.bin", "batches.meta.txt"])
def test_a_missing_file_is_named(tmp_path: Path, name: str):
    write_cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-bin" / name).unlink()
    with pytest.raises(UnavailableError, match=name) as caught:
        read("cifar10", tmp_path)
    assert "cifar-10-binary.tar.gz" in str(caught.value)


def test_unknown_label_is_named(tmp_path: Path):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-bin" / "test_batch.bin"
    content = bytearray(path.read_bytes())
    content[2 * 3073] = 77
    path.write_bytes(content)
    with pytest.raises(UnavailableError, match="image 2: label 77 is none of 3 classes"):
        read("cifar10", tmp_path)


def test_every_split_has_every_class(tmp_path: Path):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(path.read_bytes()[: 2 * 3073])
    with pytest.raises(UnavailableError, match="class 'bird' has no image in the test split"):
        read("cifar10", tmp_path)


def test_other_folder_is_refused_with_what_is_expected(tmp_path: Path):
    with pytest.raises(UnavailableError, match="has neither cifar-100-binary/ nor cifar-100-python/") as caught:
        read("cifar100", tmp_path)
    assert "cifar-100-python.tar.gz" in str(caught.value)
