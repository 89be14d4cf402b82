import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from pipeline.data.listing import Listing
from pipeline.data.readers.torchvision_sets import _labels
from pipeline.data.registry import load_reader
from pipeline.data.stores.registry import open_store
from tests.pipeline.data.conftest import Data, write_image
from tests.pipeline.data.containers import noise, write_dtd, write_mnist

datasets = pytest.importorskip("torchvision.datasets")


def read(name: str, root: Path, **changes: Any) -> Listing:
    return load_reader(f"torchvision:{name}")(root, Data(**changes))


def agrees(listing: Listing, split: str, theirs: Any) -> None:
    """Every image and label is what torchvision gives."""
    store = open_store(listing.store, listing.root)
    listed = listing.splits[split]  # type: ignore[index]
    assert len(listed) == len(theirs)
    for number, (key, label) in enumerate(zip(listed.paths, listed.labels, strict=True)):
        image, their_label = theirs[number]
        np.testing.assert_array_equal(np.asarray(store.image(key)), np.asarray(image.convert("RGB")))
        assert label == their_label


def test_set_with_a_train_flag_is_read(tmp_path: Path):
    write_mnist(tmp_path)
    listing = read("MNIST", tmp_path)
    assert listing.classes[:2] == ["0 - zero", "1 - one"] and set(listing.splits) == {"train", "test"}
    agrees(listing, "train", datasets.MNIST(str(tmp_path), train=True))
    agrees(listing, "test", datasets.MNIST(str(tmp_path), train=False))


def test_set_with_a_validation_split_is_read(tmp_path: Path):
    listing = read("DTD", write_dtd(tmp_path))
    assert listing.classes == ["banded", "wavy lines"]
    for ours, theirs in (("train", "train"), ("validation", "val"), ("test", "test")):
        agrees(listing, ours, datasets.DTD(str(tmp_path), split=theirs))


def test_undivided_set_gives_a_stratified_test_split(tmp_path: Path):
    for number in range(12):
        name = ("Forest", "SeaLake", "River")[number % 3]
        write_image(tmp_path / "eurosat" / "2750" / name / f"{name}_{number}.jpg", number)
    listing = read("EuroSAT", tmp_path, test=0.25)
    assert listing.classes == ["Forest", "River", "SeaLake"]
    assert (sorted(listing.splits["test"].labels), len(listing.splits["train"])) == ([0, 1, 2], 9)
    assert sorted([*listing.splits["train"].paths, *listing.splits["test"].paths]) == sorted(
        f"train/{number}" for number in range(12)
    )
    assert read("EuroSAT", tmp_path, test=0.25).splits == listing.splits
    assert read("EuroSAT", tmp_path, test=0.25, split_seed=1).splits != listing.splits


def test_a_set_without_names_has_numbers(tmp_path: Path):
    base = tmp_path / "gtsrb"
    for number in range(6):
        write_image(base / "GTSRB" / "Training" / f"{number % 3:05}" / f"{number}.ppm", number)
        write_image(base / "GTSRB" / "Final_Test" / "Images" / f"{number:05}.ppm", 50 + number)
    with (base / "GT-final_test.csv").open("w", newline="") as stream:
        rows = csv.writer(stream, delimiter=";")
        rows.writerows([("Filename", "ClassId"), *((f"{number:05}.ppm", number % 3) for number in range(6))])
    listing = read("GTSRB", tmp_path)
    assert listing.classes == ["0", "1", "2"]
    agrees(listing, "test", datasets.GTSRB(str(tmp_path), split="test"))


def test_labels_that_do_not_begin_at_0_are_the_names(tmp_path: Path):
    base = tmp_path / "clevr" / "CLEVR_v1.0"
    for split in ("train", "val"):
        counts = [10, 3, 5, 3]
        for number in range(4):
            write_image(base / "images" / split / f"{number}.png", number)
        (base / "scenes").mkdir(exist_ok=True)
        scenes = [{"image_filename": f"{i}.png", "objects": [{}] * count} for i, count in enumerate(counts)]
        (base / "scenes" / f"CLEVR_{split}_scenes.json").write_text(json.dumps({"scenes": scenes}))
    listing = read("CLEVRClassification", tmp_path)
    assert (listing.classes, listing.splits["test"].labels) == (["3", "5", "10"], [2, 0, 1, 0])


def test_svhn_matlab_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scipy_io = pytest.importorskip("scipy.io")
    for seed, split in enumerate(("train", "test")):
        pixels = noise(seed, 4, 32).transpose(1, 2, 3, 0)
        scipy_io.savemat(tmp_path / f"{split}_32x32.mat", {"X": pixels, "y": np.array([[10], [1], [2], [10]])})
    monkeypatch.setattr(datasets.SVHN, "_check_integrity", lambda self: True)
    listing = read("SVHN", tmp_path)
    assert (listing.classes, listing.splits["train"].labels) == (["0", "1", "2"], [0, 1, 2, 0])
    agrees(listing, "test", datasets.SVHN(str(tmp_path), split="test"))


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"targets": np.array([[7, 0], [2, 1]])}, [7, 2]),
        ({"_samples": [("a", 3), ("b", 1)]}, [3, 1]),
        ({"_samples": [("a", None)]}, None),
        ({"_labels": [None, None]}, None),
        ({}, None),
    ],
)
def test_labels_are_found_where_sets_keep_them(labels: dict[str, Any], found: list[int] | None):
    assert _labels(SimpleNamespace(**labels)) == found


def test_missing_set_is_refused_with_how_to_fetch_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", None)
    for name in ("CIFAR10", "Food101", "EMNIST", "QMNIST", "SEMEION", "USPS", "SUN397", "OxfordIIITPet"):
        with pytest.raises(UnavailableError, match=f"torchvision finds no usable {name}") as caught:
            read(name, tmp_path)
        assert "download=True" in str(caught.value) and "download=True" not in caught.value.message
        assert list(tmp_path.iterdir()) == []


def test_a_package_that_a_set_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    with pytest.raises(UnavailableError, match="scipy") as caught:
        read("StanfordCars", tmp_path)
    assert "pip install scipy" in str(caught.value)


def test_other_classes_in_one_split_are_refused(tmp_path: Path):
    write_dtd(tmp_path)
    labels = tmp_path / "dtd" / "dtd" / "labels" / "test1.txt"
    labels.write_text("banded/banded_test_0.jpg\n")
    with pytest.raises(UnavailableError, match="other classes in test than in train"):
        read("DTD", tmp_path)
