import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from pipeline.data.index import DataIndex
from pipeline.data.indexing import build_index
from tests.pipeline.data.conftest import Data, write_folders
from tests.pipeline.data.test_leaks import leak

Settings = Callable[..., Data]


def paths(index: DataIndex, name: str) -> list[str]:
    return list(index.splits[name].paths)  # type: ignore[index]


def test_drop_leaves_out_the_copy_nearer_to_training(folders: Path, settings: Settings, tmp_path: Path) -> None:
    clean = build_index(settings())
    leak(folders, 2)
    index = build_index(settings(on_leak="drop"))
    assert [(file.split, file.path) for file in index.dropped] == [
        ("train", "train/wood_duck/copy000.png"), ("train", "train/wood_duck/copy001.png")
    ]  # fmt: skip
    assert "the same bytes as test/teal/000.png (test)" in index.dropped[0].reason
    assert index.fingerprint == clean.fingerprint and index.summary()["dropped"] == 2
    index.save(tmp_path / "saved")
    assert DataIndex.load(tmp_path / "saved").dropped == index.dropped


def test_a_copy_in_all_three_stays_in_test_alone(folders: Path, settings: Settings) -> None:
    write_folders(folders, {"val/teal": 2, "val/wood_duck": 2})
    for target in ("train/teal/copy.png", "val/wood_duck/copy.png"):
        shutil.copy(folders / "test/teal/000.png", folders / target)
    shutil.copy(folders / "val/teal/000.png", folders / "train/teal/other.png")
    with pytest.raises(UnavailableError, match="2 of train in validation, 1 of train in test, 1 of validation in test"):
        build_index(settings())
    index = build_index(settings(on_leak="drop"))
    assert {file.path for file in index.dropped} == {
        "train/teal/copy.png", "val/wood_duck/copy.png", "train/teal/other.png"
    }  # fmt: skip
    assert "test/teal/000.png" in paths(index, "test") and "val/teal/000.png" in paths(index, "validation")


def test_dropping_must_leave_every_class(folders: Path, settings: Settings) -> None:
    shutil.rmtree(folders / "train/teal")
    shutil.copytree(folders / "test/teal", folders / "train/teal")
    with pytest.raises(UnavailableError, match="class 'teal' has no image left in the train split once those"):
        build_index(settings(on_leak="drop"))


def test_copies_in_training_stay_on_one_side(folders: Path, settings: Settings) -> None:
    for i in range(4):
        for copy in "ab":
            shutil.copy(folders / f"train/teal/{i:03}.png", folders / f"train/teal/{i:03}{copy}.png")
    shutil.copy(folders / "train/teal/000.png", folders / "train/wood_duck/000c.png")  # in two classes
    for seed in range(8):
        index = build_index(settings(split_seed=seed))
        sides = [{row.tobytes() for row in index.splits[name].sha256} for name in ("train", "validation")]  # type: ignore[index]
        assert not sides[0] & sides[1]
        for name in ("train", "validation"):
            assert set(index.splits[name].labels.tolist()) == {0, 1}  # type: ignore[index]
    assert index.summary()["splits"]["train"]["duplicates"] + index.summary()["splits"]["validation"]["duplicates"] == 9


def test_copies_are_reunited_in_a_sampled_test_split(tmp_path: Path, settings: Settings) -> None:
    write_folders(tmp_path, {"teal": 8, "wood_duck": 8})
    clean = build_index(settings())
    for i in range(8):
        shutil.copy(tmp_path / f"teal/{i:03}.png", tmp_path / f"teal/{i:03}b.png")
    for seed in range(6):
        index = build_index(settings(split_seed=seed))
        assert sum(map(len, index.splits.values())) == 24 and not index.dropped
        contents = [{row.tobytes() for row in split.sha256} for split in index.splits.values()]
        assert not contents[0] & contents[1] and not contents[0] & contents[2] and not contents[1] & contents[2]
    for path in tmp_path.glob("teal/*b.png"):
        path.unlink()
    assert build_index(settings()).fingerprint == clean.fingerprint
