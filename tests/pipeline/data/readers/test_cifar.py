import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from pipeline.data.listing import Listing
from pipeline.data.registry import load_reader
from pipeline.data.stores import pickled
from pipeline.data.stores.registry import open_store
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.containers import (
    CIFAR10_FILES,
    CIFAR10_NAMES,
    labels_of,
    noise,
    planes,
    write_cifar10,
    write_cifar100,
)

SETTINGS = Data()


def read(name: str, root: Path) -> Listing:
    return load_reader(name)(root, SETTINGS)


def write_python_version(root: Path, monkeypatch: pytest.MonkeyPatch, protocol: int = 2) -> Path:
    """CIFAR-10's pickles of the images of `write_cifar10`, taken for the published ones."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    contents = {
        stem: {b"data": planes(noise(seed, 6, 32)), b"labels": labels_of(6, 3).tolist(), b"batch_label": b"a batch"}
        for seed, stem in enumerate(CIFAR10_FILES)
    }
    contents["batches.meta"] = {b"label_names": [name.encode() for name in CIFAR10_NAMES], b"num_vis": 3072}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))
    publish(folder, monkeypatch)
    return folder


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setitem(pickled.PUBLISHED, "cifar10", sums)


def test_the_binary_version_of_cifar10(tmp_path: Path):
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


def test_the_fine_labels_of_cifar100(tmp_path: Path):
    pixels = write_cifar100(tmp_path)
    listing = read("cifar100", tmp_path)
    assert listing.classes == ["apple", "aquarium fish", "baby"]
    assert listing.splits["train"].labels == listing.splits["test"].labels == [0, 1, 2] * 3
    image = open_store(listing.store, listing.root).image("test/4")
    np.testing.assert_array_equal(np.asarray(image), pixels["test"][4])


@pytest.mark.parametrize("protocol", [2, 4])
def test_the_python_version_is_the_same_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int):
    write_cifar10(tmp_path / "binary")
    write_python_version(tmp_path / "python", monkeypatch, protocol)
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


def test_what_python_2_pickled_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_python_version(tmp_path, monkeypatch)
    expected = read("cifar10", tmp_path)
    pixels = planes(noise(0, 6, 32))
    (folder / "data_batch_1").write_bytes(pickle_of_python_2(pixels, labels_of(6, 3).tolist()))
    publish(folder, monkeypatch)
    listing = read("cifar10", tmp_path)
    assert listing.splits == expected.splits
    store = open_store(listing.store, listing.root)
    assert [store.read(f"data_batch_1/{number}") for number in range(6)] == [row.tobytes() for row in pixels]


def test_the_published_sums_are_those_of_torchvision():
    datasets = pytest.importorskip("torchvision.datasets")
    for name, kind in (("cifar10", datasets.CIFAR10), ("cifar100", datasets.CIFAR100)):
        expected = {**dict(kind.train_list), **dict(kind.test_list), kind.meta["filename"]: kind.meta["md5"]}
        assert pickled.PUBLISHED[name] == expected


def test_the_folder_itself_may_be_the_root(tmp_path: Path):
    write_cifar10(tmp_path)
    write_cifar100(tmp_path)
    assert read("cifar10", tmp_path / "cifar-10-batches-bin").splits == read("cifar10", tmp_path).splits
    assert read("cifar100", tmp_path / "cifar-100-binary").splits == read("cifar100", tmp_path).splits


class Harmful:
    def __reduce__(self):
        return Path.touch, (Path("harmed"),)


def test_a_pickle_that_is_not_the_published_file_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_python_version(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    (folder / "data_batch_3").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(UnavailableError, match=r"data_batch_3: has MD5 .* was not opened") as caught:
        read("cifar10", tmp_path)
    assert "cifar-10-binary.tar.gz" in str(caught.value)
    assert not (tmp_path / "harmed").exists()


def test_a_pickle_may_name_nothing_but_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_python_version(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    (folder / "data_batch_3").write_bytes(pickle.dumps(Harmful()))
    publish(folder, monkeypatch)  # even under the right sum
    with pytest.raises(UnavailableError, match="data_batch_3: cannot be unpickled: it names"):
        read("cifar10", tmp_path)
    assert not (tmp_path / "harmed").exists()


def test_a_batch_of_another_form_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_python_version(tmp_path, monkeypatch)
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": [1, 2], b"labels": [0, 1]}))
    publish(folder, monkeypatch)
    with pytest.raises(UnavailableError, match="test_batch: is no batch of images"):
        read("cifar10", tmp_path)


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


def test_a_label_that_is_no_class_is_named(tmp_path: Path):
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


def test_another_folder_is_told_what_is_expected(tmp_path: Path):
    with pytest.raises(UnavailableError, match="has neither cifar-100-binary/ nor cifar-100-python/") as caught:
        read("cifar100", tmp_path)
    assert "cifar-100-python.tar.gz" in str(caught.value)
