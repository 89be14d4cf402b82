import os
import shutil
from io import StringIO
from pathlib import Path

import pytest

from exporters.core.files import read_json
from pipeline.console import Console
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.stage import StageContext
from pipeline.stages.data import DataStage
from tests.pipeline.conftest import Outcome, Run, run_command
from tests.pipeline.data.conftest import write_folders
from tests.pipeline.data.containers import write_stl10
from tests.pipeline.data.readers.layouts import stanford_dogs

STAGE = DataStage()


def recipe_of(root: Path | str) -> Recipe:
    return load_recipe("quickstart", ["data.dataset=folder", f"data.root={root}"]).recipe


def test_files_are_known_by_name_size_and_time(tiny_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_data, root)
    before = STAGE.files(recipe_of(root))
    assert list(before) == ["folder files", "the place of folder"] and STAGE.files(recipe_of(root)) == before
    image = root / "train" / "red_disc" / "00.png"
    times = image.stat().st_mtime_ns
    os.utime(image, ns=(times, times + 1_000_000_000))
    assert STAGE.files(recipe_of(root)) != before
    os.utime(image, ns=(times, times))
    assert STAGE.files(recipe_of(root)) != before  # its content may have been changed before the time was set back
    before = STAGE.files(recipe_of(root))
    image.rename(image.with_name("new.png"))
    assert STAGE.files(recipe_of(root)) != before


def test_relative_root_depends_on_the_working_directory(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_data, tmp_path / "here" / "x")
    # The same files: copies would be other ones.
    shutil.copytree(tmp_path / "here" / "x", tmp_path / "there" / "x", copy_function=os.link)
    found = []
    for place in ("here", "there"):
        monkeypatch.chdir(tmp_path / place)
        found.append(STAGE.files(recipe_of("x")))
        assert STAGE.files(recipe_of(tmp_path / place / "x")) == found[-1]
    assert found[0]["folder files"] == found[1]["folder files"]
    assert found[0]["the place of folder"] != found[1]["the place of folder"]


def test_the_data_sets_reader_counts_as_code() -> None:
    assert STAGE.modules(recipe_of("x")) == ("pipeline.data.readers.folder",)
    assert STAGE.modules(load_recipe("cub_mobilenet").recipe) == ("pipeline.data.readers.cub200",)
    family = load_recipe("quickstart", ["data.dataset=torchvision:SVHN", "data.root=x"]).recipe
    assert STAGE.modules(family) == ("pipeline.data.readers.torchvision_sets",)


def test_index_lists_classes_splits_and_location(finished: tuple[Run, Outcome]) -> None:
    run, outcome = finished
    index = read_json(run.directory / "data" / "index.json")
    assert index["classes"] == ["blue bar", "green square", "red disc"]
    assert [index["splits"][split]["images"] for split in ("train", "validation", "test")] == [48, 12, 24]
    assert "3 classes, images: train 48, validation 12, test 24" in outcome.out
    assert read_json(run.directory / "data" / "location.json") == {"root": str(run.data)}
    assert str(run.data) not in (run.directory / "data" / "index.json").read_text()


def say(recipe: Recipe, folder: Path) -> tuple[str, dict[str, object]]:
    """What the stage tells a person, and its record."""
    stream = StringIO()
    record = STAGE.run(StageContext(recipe, RunDirectory(folder), Console(stream, plain=True), "fingerprint"))
    return stream.getvalue(), record


def test_unofficial_counts_are_reported(tmp_path: Path) -> None:
    stanford_dogs(tmp_path / "dogs")
    changes = ["data.dataset=stanford_dogs", f"data.root={tmp_path / 'dogs'}"]
    output, record = say(load_recipe("quickstart", changes).recipe, tmp_path / "run")
    assert "stanford_dogs: 3 classes, images: train 3, validation 3, test 3" in output
    assert "WARNING: stanford_dogs: train has 6 of 12,000 official images" in output
    assert "WARNING: stanford_dogs: test has 3 of 8,580 official images" in output
    assert record["official"] == {"train": 12_000, "test": 8_580}


def test_a_table_of_labels_is_read_and_belongs_to_the_fingerprint(tmp_path: Path) -> None:
    write_folders(tmp_path / "photos", {"x": 8})
    rows = (f"x/{i:03}.png,{'wren' if i % 2 else 'teal'},{'train' if i < 6 else 'test'}" for i in range(8))
    (tmp_path / "photos/labels.csv").write_text("\n".join(["path,label,split", *rows]))
    changes = ["data.dataset=folder", f"data.root={tmp_path / 'photos'}", "data.labels=labels.csv"]
    recipe = load_recipe("quickstart", changes).recipe
    output, record = say(recipe, tmp_path / "run")
    assert "folder: 2 classes, images: train 4, validation 2, test 2" in output and "WARNING" not in output
    assert "official" not in record
    assert STAGE.parameters(recipe)["data.labels"] == "labels.csv"
    before = STAGE.files(recipe)
    table = tmp_path / "photos/labels.csv"
    table.write_text(table.read_text().replace("x/000.png,teal", "x/000.png,wren"))
    assert STAGE.files(recipe) != before


def test_run_folders_in_the_data_root_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, {"Teal": 4, "teal": 4})
    monkeypatch.chdir(tmp_path)
    given = [f for v in ("data.dataset=folder", "data.root=.", "data.validation=0.5") for f in ("--set", v)]
    for directory in ("runs/one", "runs/two", "mine"):
        outcome = run_command("run", "quickstart", "--run-dir", directory, "--until", "data", *given)
        assert outcome.code == 0 and outcome.stages_run == ["data"], outcome.err
        output = outcome.out + outcome.err
        assert (
            "folder: 2 classes" in output and "the classes 'Teal' and 'teal' differ in case or blanks alone" in output
        )
        assert "written by tmkd-pipeline (" in output
    outcome = run_command("run", "quickstart", "--run-dir", "mine", "--until", "data", *given)
    assert outcome.code == 0 and outcome.stages_run == []


def test_images_in_one_file_are_indexed_reported_and_reused(tmp_path: Path) -> None:
    write_stl10(tmp_path / "data")
    directory = tmp_path / "run"

    def until_data() -> Outcome:
        given = ("data.dataset=stl10", f"data.root={tmp_path / 'data'}", "data.validation=0.5")
        overrides = [part for value in given for part in ("--set", value)]
        return run_command("run", "quickstart", "--run-dir", directory, "--until", "data", *overrides)

    outcome = until_data()
    assert outcome.code == 0, outcome.err
    output = outcome.out + outcome.err
    assert "stl10: train has 6 of 5,000 official images" in output and "stl10: left out: 2 unlabelled" in output
    assert read_json(directory / "data" / "index.json")["store"] == "records:stl10"
    assert until_data().stages_run == []
    path = tmp_path / "data" / "stl10_binary" / "test_X.bin"
    os.utime(path, ns=(0, 0))
    assert until_data().stages_run == ["data"]
