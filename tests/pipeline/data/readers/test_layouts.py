"""What holds for every benchmark: official splits, readable names, other folders, and errors for missing files."""

import shutil
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from pipeline.class_names.words import class_words
from pipeline.data.indexing import build_index
from pipeline.data.listing import Listing
from pipeline.data.registry import DATASETS, load_reader
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.readers.layouts import LAYOUTS

SETTINGS = Data()

NAMES = {
    "fgvc_aircraft": ["707-320", "Cessna 172", "F/A-18"],
    "flowers102": ["pink primrose", "pink-yellow dahlia", "passion flower"],
    "food101": ["Apple pie", "Beef carpaccio", "Pho"],
    "imagenet": ["tench", "crane bird", "construction crane"],
    "oxford_pets": ["Abyssinian", "American Bulldog", "Egyptian Mau"],
    "stanford_cars": ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012", "smart fortwo Convertible 2012"],
    "stanford_dogs": ["Chihuahua", "Shih-Tzu", "Great Dane"],
    "tiny_imagenet": ["Cardigan Welsh corgi", "Egyptian cat", "cardigan"],
}
LABELS = {
    "fgvc_aircraft": {"train": [2, 0, 1, 2, 0, 1], "validation": [2, 0, 1], "test": [2, 0, 1, 2, 0, 1]},
    "flowers102": {"train": [1, 2, 0], "validation": [1, 2, 0], "test": [2, 0, 1, 0]},
    "food101": {"train": [0, 0, 1, 1, 2, 2], "test": [0, 1, 2]},
    "imagenet": {"train": [0, 0, 1, 1, 2, 2], "test": [0, 0, 1, 2]},
    "oxford_pets": {"train": [0, 0, 1, 1, 2, 2], "test": [0, 1, 2]},
    "stanford_cars": {"train": [2, 0, 1, 0, 2, 1], "test": [1, 2, 0]},
    "stanford_dogs": {"train": [0, 0, 1, 1, 2, 2], "test": [0, 1, 2]},
    "tiny_imagenet": {"train": [0, 0, 0, 1, 1, 1, 2, 2, 2], "test": [2, 0, 1, 2, 0, 1]},
}
OFFICIAL = {
    "fgvc_aircraft": (3_334, 3_333, 3_333),
    "flowers102": (1_020, 1_020, 6_149),
    "food101": (75_750, 25_250),
    "imagenet": (1_281_167, 50_000),
    "oxford_pets": (3_680, 3_669),
    "stanford_cars": (8_144, 8_041),
    "stanford_dogs": (12_000, 8_580),
    "tiny_imagenet": (100_000, 10_000),
}
TORCHVISION = {
    "fgvc_aircraft": ("FGVCAircraft", {"train": "train", "validation": "val", "test": "test"}),
    "flowers102": ("Flowers102", {"train": "train", "validation": "val", "test": "test"}),
    "food101": ("Food101", {"train": "train", "test": "test"}),
    "oxford_pets": ("OxfordIIITPet", {"train": "trainval", "test": "test"}),
    "stanford_cars": ("StanfordCars", {"train": "train", "test": "test"}),
}
each_benchmark = pytest.mark.parametrize("name", LAYOUTS)


def read(name: str, root: Path | None) -> Listing:
    return load_reader(name)(root, SETTINGS)


def files(name: str, root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix in (".jpg", ".JPEG")]


@each_benchmark
def test_splits_labels_and_names_are_read(name: str, tmp_path: Path) -> None:
    listing = read(name, LAYOUTS[name](tmp_path))
    assert listing.classes == NAMES[name]
    assert {split: found.labels for split, found in listing.splits.items()} == LABELS[name]
    assert tuple(listing.official.values()) == OFFICIAL[name] and list(listing.official) == list(LABELS[name])
    paths = [path for split in listing.splits.values() for path in split.paths]
    assert len(set(paths)) == len(paths) and all((listing.root / path).is_file() for path in paths)


@each_benchmark
def test_the_folder_one_level_up_is_taken_too(name: str, tmp_path: Path) -> None:
    """As a relative path from elsewhere, too."""
    root = LAYOUTS[name](tmp_path / DATA_FOLDERS.get(name, "."))
    assert read(name, tmp_path) == read(name, root)


DATA_FOLDERS = {"imagenet": "ILSVRC/Data/CLS-LOC", "stanford_dogs": "stanford_dogs"}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_reads_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    monkeypatch.setattr(datasets.Flowers102, "_check_integrity", lambda self: True)  # md5 of the published tables
    LAYOUTS[name](tmp_path)
    listing = read(name, tmp_path)
    kind, splits = TORCHVISION[name]
    for ours, theirs in splits.items():
        reference = getattr(datasets, kind)(tmp_path, split=theirs)
        paths = getattr(reference, "_image_files", None) or getattr(reference, "_images", None)
        samples = getattr(reference, "_samples", None) or list(zip(paths, reference._labels, strict=True))
        split = listing.splits[ours]  # type: ignore[index]
        assert [listing.root / path for path in split.paths] == [Path(path) for path, _ in samples]
        labels = [int(label) for _, label in samples]
        if name in ("flowers102", "oxford_pets"):  # torchvision keeps the numbers, of which the fixture has three
            labels = [sorted(set(labels)).index(label) for label in labels]
        assert split.labels == labels


@each_benchmark
def test_no_image_is_opened(name: str, tmp_path: Path) -> None:
    root = LAYOUTS[name](tmp_path)
    before = read(name, root)
    for path in files(name, root):
        path.write_bytes(b"")
        path.chmod(0)
    assert read(name, root) == before


@each_benchmark
def test_the_index_takes_the_splits_as_they_are(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path / DATA_FOLDERS.get(name, "."))
    index = build_index(Data(dataset=name, root=str(tmp_path), validation=0.34), workers=1)
    assert len(index.splits["test"]) == len(LABELS[name]["test"])
    assert len(index.splits["validation"]) == len(LABELS[name].get("validation", [0, 1, 2]))


@each_benchmark
def test_unofficial_counts_are_reported(name: str, tmp_path: Path) -> None:
    listing = read(name, LAYOUTS[name](tmp_path))
    assert listing.unofficial() == {
        split: (len(labels), count) for (split, labels), count in zip(LABELS[name].items(), OFFICIAL[name], strict=True)
    }
    complete = {split: len(labels) for split, labels in LABELS[name].items()}
    assert Listing(listing.root, [], listing.splits, official=complete).unofficial() == {}  # type: ignore[arg-type]


@each_benchmark
def test_class_names_are_usable_in_prompts(name: str, tmp_path: Path) -> None:
    """As they are, and through the shipped set of words where there is one."""
    classes = read(name, LAYOUTS[name](tmp_path)).classes
    words = class_words(None, classes)
    assert len({word.casefold() for word in words}) == len(classes)
    assert name == "fgvc_aircraft" or all("-" not in word or " " in word for word in words)
    shipped = {"imagenet": "imagenet", "tiny_imagenet": "imagenet", "oxford_pets": "oxford_pets"}
    if name in shipped:
        assert len(class_words(shipped[name], classes)) == len(classes)
    if name == "flowers102":
        assert class_words("flowers102", classes) == classes


@each_benchmark
@pytest.mark.parametrize("root", [None, Path("no/such/folder")])
def test_missing_root_gives_the_expected_layout(name: str, root: Path | None) -> None:
    with pytest.raises(UnavailableError, match=r"data\.root") as caught:
        read(name, root)
    assert caught.value.exit_code == 4
    assert caught.value.remedy is not None and "data.root must hold" in caught.value.remedy
    assert "http" in caught.value.remedy or "mirrors" in caught.value.remedy


@each_benchmark
def test_empty_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=f"data.root: {tmp_path} has no ") as caught:
        read(name, tmp_path)
    assert caught.value.remedy


@each_benchmark
def test_any_missing_file_gives_a_listing_or_a_clear_error(name: str, tmp_path: Path) -> None:
    """Whatever is removed, the set is still read or one clear error is given."""
    original = LAYOUTS[name](tmp_path / "original")
    for number, path in enumerate(sorted(path.relative_to(original) for path in original.rglob("*"))):
        root = tmp_path / str(number)
        shutil.copytree(original, root)
        if (root / path).is_dir():
            shutil.rmtree(root / path)
        else:
            (root / path).unlink()
        try:
            read(name, root)
        except UnavailableError as error:
            assert str(root) in error.message, path
            assert error.remedy or "a classifier needs" in error.message, path


@each_benchmark
def test_a_link_to_another_disk_is_followed(name: str, tmp_path: Path) -> None:
    root = LAYOUTS[name](tmp_path / "set")
    listing = read(name, root)
    image = listing.root / listing.splits["test"].paths[0]
    image.rename(tmp_path / "elsewhere.jpg")
    image.symlink_to(tmp_path / "elsewhere.jpg")
    assert read(name, root).splits == listing.splits


def test_every_benchmark_with_files_is_covered() -> None:
    assert set(LAYOUTS) | {"birds_demo", "cub200", "folder"} <= set(DATASETS)
