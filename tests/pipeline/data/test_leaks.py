import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from exporters.core.errors import UnavailableError
from pipeline.data.index import DataIndex
from pipeline.data.indexing import build_index
from pipeline.data.leaks import find_leaks
from tests.pipeline.conftest import CLASSES, Run, run_command, set_, write_recipe
from tests.pipeline.data.conftest import Data, write_folders, write_image
from tests.pipeline.data.test_copies import CONTENTS, hashes

Settings = Callable[..., Data]


@hypothesis_settings(deadline=None, max_examples=150)
@given(CONTENTS, CONTENTS, CONTENTS)
def test_leaks_are_those_of_a_plain_search(train: list[int], validation: list[int], test: list[int]) -> None:
    contents = {"train": train, "validation": validation, "test": test}
    found = find_leaks({name: hashes(values) for name, values in contents.items()})  # type: ignore[misc]
    expected = {}
    for one, two in (("train", "validation"), ("train", "test"), ("validation", "test")):
        pairs = [(i, contents[two].index(v)) for i, v in enumerate(contents[one]) if v in contents[two]]
        if pairs:
            expected[one, two] = pairs
    assert {
        (leak.split, leak.other): list(zip(leak.positions.tolist(), leak.partners.tolist(), strict=True))
        for leak in found
    } == expected


def paths(index: DataIndex, name: str) -> list[str]:
    return list(index.splits[name].paths)  # type: ignore[index]


def leak(root: Path, count: int) -> None:
    """The first test images of teal stand in training too, in another class."""
    for i in range(count):
        shutil.copy(root / f"test/teal/{i:03}.png", root / f"train/wood_duck/copy{i:03}.png")


def test_same_bytes_in_two_splits_are_refused(tmp_path: Path, settings: Settings) -> None:
    write_folders(tmp_path, {"train/wood_duck": 3, "train/teal": 3, "test/wood_duck": 3, "test/teal": 15})
    leak(tmp_path, 12)
    with pytest.raises(UnavailableError) as caught:
        build_index(settings())
    assert caught.value.exit_code == 4
    lines = caught.value.message.splitlines()
    assert "12 of train in test" in lines[0]
    assert [line.strip() for line in lines[1:]] == [
        *(f"train/wood_duck/copy{i:03}.png = test/teal/{i:03}.png" for i in range(10)), "and 2 more"
    ]  # fmt: skip
    assert "--set data.on_leak=drop" in str(caught.value)


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


def test_leaks_are_reported_by_the_stage_and_the_result_is_reused(tiny_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    shutil.copy(data / "test" / CLASSES[0] / "00.png", data / "train" / CLASSES[0] / "leak.png")
    recipe = write_recipe(tmp_path / "tiny.yaml", data)
    run = Run(recipe, data, tmp_path / "run")
    outcome = run("--until", "data")
    assert outcome.code == 4 and "1 of train in test" in outcome.err
    assert f"train/{CLASSES[0]}/leak.png = test/{CLASSES[0]}/00.png" in outcome.err
    arguments = ("--until", "data", *set_({"data.on_leak": "drop"}))
    outcome = run(*arguments)
    assert outcome.code == 0 and "train 48" in outcome.out
    assert "1 images were left out, since" in outcome.out
    assert "copies of images within a split: validation 1" in outcome.out
    index = json.loads((tmp_path / "run" / "data" / "index.json").read_text())
    assert [file["path"] for file in index["dropped"]] == [f"train/{CLASSES[0]}/leak.png"]
    assert run(*arguments).stages_reused == ["data"]
    assert run_command("check", recipe, *set_({"data.on_leak": "ignore"})).code == 2


def test_many_images_are_searched() -> None:
    random = np.random.default_rng(0)
    train = random.integers(0, 256, (300_000, 32), dtype=np.uint8)
    test = random.integers(0, 256, (20_000, 32), dtype=np.uint8)
    test[77] = train[123_456]
    (found,) = find_leaks({"train": train, "test": test})
    assert (found.positions.tolist(), found.partners.tolist()) == ([123_456], [77])


def test_images_that_differ_in_one_byte_are_no_copies(tmp_path: Path, settings: Settings) -> None:
    write_folders(tmp_path, {"train/a": 2, "train/b": 2, "test/a": 1, "test/b": 1})
    one = write_image(tmp_path / "train/a/x.png", 5).read_bytes()
    (tmp_path / "test/a/x.png").write_bytes(one + b"\0")
    index = build_index(settings())
    assert not index.dropped
    assert any(path.endswith("a/x.png") for path in index.splits["test"].paths)
