import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from exporters.core.errors import UnavailableError
from exporters.core.write_errors import WriteError
from exporters.images.decoding import open_rgb
from pipeline.data.listing import Listing, listing_digest
from pipeline.data.registry import load_reader
from pipeline.data.stores.registry import open_store
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.containers import encoded, rows_of_images
from tests.small_disk import small_disk

needs_library = pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="the extra hf is not installed")


def read(root: Path, name: str = "ducks") -> Listing:
    return load_reader(f"hf:{name}")(root, Data())


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's cache in a folder of the test's own."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def check(listing: Listing) -> None:
    assert listing.classes == ["teal", "wood duck"]
    assert {name: list(split.labels) for name, split in listing.splits.items()} == {
        "train": [0, 1] * 4,
        "test": [0, 1] * 2,
    }
    store = open_store(listing.store, listing.root)
    for seed, split in ((0, "train"), (100, "test")):
        for row, key in enumerate(listing.splits[split].paths):
            assert store.read(key) == encoded(seed + row)
            assert store.image(key).tobytes() == open_rgb(encoded(seed + row)).tobytes()


@needs_library
@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("folder", ["", "owner/ducks"])
def test_save_to_disk_output_is_read(tmp_path: Path, folder: str):
    import datasets

    datasets.DatasetDict({"train": rows_of_images(8, 0), "test": rows_of_images(4, 100)}).save_to_disk(
        str(tmp_path / folder)
    )
    listing = read(tmp_path, "owner/ducks")
    check(listing)
    before = listing_digest(listing)
    assert listing_digest(read(tmp_path, "owner/ducks")) == before
    datasets.DatasetDict({"train": rows_of_images(8, 0), "test": rows_of_images(4, 7)}).save_to_disk(
        str(tmp_path / folder)
    )
    assert listing_digest(read(tmp_path, "owner/ducks")) != before


@needs_library
@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("folder", ["", "data"])
def test_parquet_files_named_by_split_are_read(tmp_path: Path, folder: str):
    (tmp_path / folder).mkdir(exist_ok=True)
    rows_of_images(8, 0).to_parquet(tmp_path / folder / "train-00000-of-00001.parquet")
    rows_of_images(4, 100).to_parquet(tmp_path / folder / "Validation.parquet")
    check(read(tmp_path))


@needs_library
@pytest.mark.usefixtures("cache")
def test_validation_split_and_extra_columns_are_accepted(tmp_path: Path):
    import datasets

    coarse = datasets.ClassLabel(names=["a", "b", "c"])
    splits = {
        name: rows_of_images(count, 0, coarse=(coarse, [0] * count), note=(datasets.Value("string"), ["x"] * count))
        for name, count in (("train", 8), ("validation", 2))
    }
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path))
    listing = read(tmp_path)
    assert {name: len(split) for name, split in listing.splits.items()} == {"train": 8, "test": 2}
    assert open_store(listing.store, listing.root).image(listing.splits["test"].paths[1]).size == (20, 20)


@needs_library
@pytest.mark.usefixtures("cache")
def test_unfitting_data_sets_are_refused(tmp_path: Path):
    import datasets

    def saved(name: str, **splits: Any) -> Path:
        datasets.DatasetDict(splits).save_to_disk(str(tmp_path / name))
        return tmp_path / name

    plain, other = rows_of_images(4, 0), datasets.ClassLabel(names=["x", "y"])
    cases = {
        saved("a", train=plain): "neither test nor val",
        saved("b", test=plain): "has no train split, but test",
        saved("c", train=plain, test=plain.remove_columns("label")): "no column of the feature ClassLabel",
        saved("d", train=plain.remove_columns("image"), test=plain): "no column of the feature Image",
        saved("e", train=plain, test=rows_of_images(1, 0)): "class 'wood_duck' has no image in the test split",
        saved("f", train=plain, test=plain.cast_column("label", other)): "other classes in test than in train",
        saved("g", train=plain, test=plain.map(lambda row: {"label": -1})): "row test/0 has no label",
    }
    for root, message in cases.items():
        with pytest.raises(UnavailableError, match=message):
            read(root)


@needs_library
def test_unwritable_cache_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import datasets

    data = tmp_path / "data"
    data.mkdir()
    rows_of_images(8, 0).to_parquet(data / "train-00000-of-00001.parquet")
    rows_of_images(4, 100).to_parquet(data / "test.parquet")
    with small_disk(tmp_path / "disk", 2**17) as disk:
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", disk.path / "cache")
        disk.remount("ro")
        with pytest.raises(
            WriteError, match=rf"^{disk.path}/cache\S*: cannot be written: the file system is read-only"
        ):
            read(data)


@needs_library
@pytest.mark.usefixtures("cache")
def test_unknown_name_is_refused(tmp_path: Path):
    with pytest.raises(UnavailableError, match="datasets finds no usable 'nobody/nothing'") as caught:
        read(tmp_path, "nobody/nothing")
    assert "save_to_disk" in str(caught.value)


def test_missing_library_gives_the_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UnavailableError, match="needs the package datasets") as caught:
        read(tmp_path)
    assert caught.value.exit_code == 4 and "pip install 'tmkd-pipeline[hf]'" in str(caught.value)


def test_missing_root_is_named(tmp_path: Path):
    with pytest.raises(UnavailableError, match="does not exist"):
        read(tmp_path / "nothing")
