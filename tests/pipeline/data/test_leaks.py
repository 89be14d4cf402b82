import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from exporters.core.errors import UnavailableError
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
    assert "1 image was left out, since" in outcome.out
    assert "copies of images within a split: validation 1" in outcome.out
    index = json.loads((tmp_path / "run" / "data" / "index.json").read_text())
    assert [file["path"] for file in index["dropped"]] == [f"train/{CLASSES[0]}/leak.png"]
    assert run(*arguments).stages_reused == ["data"]
    assert run_command("check", recipe, *set_({"data.on_leak": "ignore"})).code == 2


def test_leak_is_found_among_many_images() -> None:
    random = np.random.default_rng(0)
    train = random.integers(0, 256, (300_000, 32), dtype=np.uint8)
    test = random.integers(0, 256, (20_000, 32), dtype=np.uint8)
    test[77] = train[123_456]
    (found,) = find_leaks({"train": train, "test": test})
    assert (found.positions.tolist(), found.partners.tolist()) == ([123_456], [77])


def test_images_that_differ_in_one_byte_are_not_copies(tmp_path: Path, settings: Settings) -> None:
    write_folders(tmp_path, {"train/a": 2, "train/b": 2, "test/a": 1, "test/b": 1})
    one = write_image(tmp_path / "train/a/x.png", 5).read_bytes()
    (tmp_path / "test/a/x.png").write_bytes(one + b"\0")
    index = build_index(settings())
    assert not index.dropped
    assert any(path.endswith("a/x.png") for path in index.splits["test"].paths)
