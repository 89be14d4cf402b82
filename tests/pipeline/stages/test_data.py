import os
import shutil
from pathlib import Path

import pytest

from exporters.files import read_json
from pipeline.recipe import load_recipe
from pipeline.recipe.schema import Recipe
from pipeline.stages.data import DataStage
from tests.pipeline.conftest import Outcome, Run

STAGE = DataStage()


def recipe_of(root: Path | str) -> Recipe:
    return load_recipe("quickstart", ["data.dataset=folder", f"data.root={root}"]).recipe


def test_files_are_known_by_name_size_and_time(tiny_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_data, root)
    before = STAGE.files(recipe_of(root))
    assert list(before) == ["folder files"] and STAGE.files(recipe_of(root)) == before
    image = root / "train" / "red_disc" / "00.png"
    times = image.stat().st_mtime_ns
    os.utime(image, ns=(times, times + 1_000_000_000))
    assert STAGE.files(recipe_of(root)) != before
    os.utime(image, ns=(times, times))
    assert STAGE.files(recipe_of(root)) == before
    image.rename(image.with_name("new.png"))
    assert STAGE.files(recipe_of(root)) != before


def test_a_relative_root_is_another_place_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    relative, absolute = recipe_of("data/x"), recipe_of(tmp_path / "x")
    here = STAGE.parameters(relative), STAGE.parameters(absolute)
    monkeypatch.chdir(tmp_path)
    there = STAGE.parameters(relative), STAGE.parameters(absolute)
    assert here[0] != there[0] and here[1] == there[1]


def test_the_data_sets_reader_counts_as_code() -> None:
    assert STAGE.modules(recipe_of("x")) == ("pipeline.data.readers.folder",)
    assert STAGE.modules(load_recipe("cub_mobilenet").recipe) == ("pipeline.data.readers.cub200",)


def test_the_index_says_what_is_where(finished: tuple[Run, Outcome]) -> None:
    run, outcome = finished
    index = read_json(run.directory / "data" / "index.json")
    assert index["classes"] == ["blue bar", "green square", "red disc"]
    assert [index["splits"][split]["images"] for split in ("train", "validation", "test")] == [48, 12, 24]
    assert "3 classes, images: train 48, validation 12, test 24" in outcome.out
    assert read_json(run.directory / "data" / "location.json") == {"root": str(run.data)}
    assert str(run.data) not in (run.directory / "data" / "index.json").read_text()
