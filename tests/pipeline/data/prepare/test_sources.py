import pytest

from pipeline.data.prepare.sources import SOURCES
from pipeline.data.registry import DATASETS


def test_every_source_has_a_reader() -> None:
    assert set(SOURCES) <= set(DATASETS)


def test_sources_are_plausible() -> None:
    for name, data_set in SOURCES.items():
        assert bool(data_set.sources) != bool(data_set.by_hand), name
        assert data_set.images["train"] and data_set.images["test"] and data_set.classes >= 10
        assert len({(source.folder, source.name) for source in data_set.sources}) == len(data_set.sources)
        for source in data_set.sources:
            assert source.url.startswith(("https://", "http://")) and source.megabytes >= 1
            assert source.md5 is None or len(bytes.fromhex(source.md5)) == 16


def test_checksums_are_those_of_torchvision() -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    known = {
        "cifar10": {datasets.CIFAR10.tgz_md5},
        "cifar100": {datasets.CIFAR100.tgz_md5},
        "stl10": {datasets.STL10.tgz_md5},
        "flowers102": {md5 for _, md5 in datasets.Flowers102._file_dict.values()},
        "oxford_pets": {md5 for _, md5 in datasets.OxfordIIITPet._RESOURCES},
        "food101": {datasets.Food101._MD5},
    }
    for name, hashes in known.items():
        assert {source.md5 for source in SOURCES[name].sources} == hashes
    urls = {datasets.CIFAR10.url, datasets.STL10.url, datasets.Food101._URL, datasets.FGVCAircraft._URL}
    assert urls <= {source.url for data_set in SOURCES.values() for source in data_set.sources}
