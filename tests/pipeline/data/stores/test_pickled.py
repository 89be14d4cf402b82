import pickle
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from pipeline.data.listing import Listing
from pipeline.data.registry import load_reader
from pipeline.data.stores import pickled
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.containers import publish_checksums, write_pickled_cifar10


def read(name: str, root: Path) -> Listing:
    return load_reader(name)(root, Data())


def test_published_checksums_are_those_of_torchvision():
    datasets = pytest.importorskip("torchvision.datasets")
    for name, kind in (("cifar10", datasets.CIFAR10), ("cifar100", datasets.CIFAR100)):
        expected = {**dict(kind.train_list), **dict(kind.test_list), kind.meta["filename"]: kind.meta["md5"]}
        assert pickled.PUBLISHED[name] == expected


class Harmful:
    def __reduce__(self):
        return Path.touch, (Path("harmed"),)


def test_pickle_with_another_checksum_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_pickled_cifar10(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    (folder / "data_batch_3").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(UnavailableError, match=r"data_batch_3: has MD5 .* was not opened") as caught:
        read("cifar10", tmp_path)
    assert "cifar-10-binary.tar.gz" in str(caught.value)
    assert not (tmp_path / "harmed").exists()


def test_pickle_may_name_nothing_but_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_pickled_cifar10(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    (folder / "data_batch_3").write_bytes(pickle.dumps(Harmful()))
    publish_checksums(folder, monkeypatch)  # even under the right sum
    with pytest.raises(UnavailableError, match="data_batch_3: cannot be unpickled: it names"):
        read("cifar10", tmp_path)
    assert not (tmp_path / "harmed").exists()


def test_batch_of_another_form_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_pickled_cifar10(tmp_path, monkeypatch)
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": [1, 2], b"labels": [0, 1]}))
    publish_checksums(folder, monkeypatch)
    with pytest.raises(UnavailableError, match="test_batch: is no batch of images"):
        read("cifar10", tmp_path)
