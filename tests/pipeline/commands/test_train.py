"""The command `train`: a folder of photographs, no recipe."""

import csv
import shutil
from pathlib import Path

import pytest

from exporters.core.files import read_json
from pipeline.recipe import load_recipe
from tests.pipeline.conftest import CLASSES, assert_one_clear_error, run_command, set_


@pytest.fixture(autouse=True)
def nothing_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("pipeline.recipe.draft.can_be_fetched", lambda _weights: False)


SMALL = ("--student", "cifar:resnet8", "--teacher", "cifar:resnet8", "--epochs", 1, "--image-size", 32)
PLAIN = {"data.workers": 0, "device": "cpu", "distill.method": "ce"}


def test_recipe_is_written_and_run(tiny_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ("train", tiny_data, *SMALL, "--run-dir", folder, *set_(PLAIN), "--until", "data")
    outcome = run_command(*arguments)
    assert outcome.code == 0 and outcome.stages_run == ["data"], outcome.err
    assert "student cifar:resnet8, from scratch" in outcome.out and f"run {folder / 'recipe.yaml'}" in outcome.out
    assert f"--run-dir {folder} --set data.workers=0" in outcome.out
    recipe = load_recipe(folder / "recipe.yaml").recipe
    assert (recipe.student.model, recipe.train.epochs, recipe.data.image_size) == ("cifar:resnet8", 1, 32)
    assert recipe.data.root == str(tiny_data) and recipe.name == tiny_data.name
    lines = (folder / "recipe.yaml").read_text().splitlines()
    assert lines[0].startswith("# Written by `tmkd-pipeline train`")
    assert sum(line.startswith("# ") for line in lines) > 6
    assert run_command(*arguments).stages_reused == ["data"]


@pytest.mark.slow
def test_one_line_trains_to_a_bundle(tiny_data: Path, tmp_path: Path) -> None:
    """With the method that the recipe names; a student of one epoch may stay at chance level."""
    values = {"data.workers": 0, "device": "cpu", "train.batch_size": 16, "teacher.visual.fit.batch_size": 16}
    outcome = run_command("train", tiny_data, *SMALL, "--run-dir", tmp_path / "run", *set_(values))
    assert outcome.code in (0, 3) and {"data", "teacher", "distill", "validate"} <= set(outcome.stages_run), outcome.err


def test_data_stage_reads_a_table_of_labels(tiny_data: Path, tmp_path: Path) -> None:
    photos = tmp_path / "my photos"
    (photos / "images").mkdir(parents=True)
    with (photos / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label"])
        for number, image in enumerate(sorted(tiny_data.rglob("train/*/*.png"))):
            shutil.copy(image, photos / "images" / f"{number}.png")
            writer.writerow([f"images/{number}.png", image.parent.name])
    outcome = run_command("train", photos, *SMALL, "--run-dir", tmp_path / "run", *set_(PLAIN), "--until", "data")
    assert outcome.code == 0, outcome.err
    assert "classes are those of the table labels.csv" in outcome.out
    index = read_json(tmp_path / "run" / "data" / "index.json")
    assert sorted(index["classes"]) == sorted(name.replace("_", " ") for name in CLASSES)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--student", "mobilnet_v3_small"), 2, ("--student: no model named", "mobilenet_v3_small")),
        (("--teacher", "resnet 50"), 2, ("--teacher: 'resnet 50' is not a model name",)),
        (("--epochs", "0"), 2, ("--epochs",)),
        (("--image-size", "8"), 2, ("--image-size",)),
        (("--set", "train"), 2, ("--set train",)),
        (("--set", "train.epoch=3"), 2, ("--set train.epoch=3: train.epoch: unknown key",)),
    ],
)
def test_mistakes_are_one_error_and_leave_nothing(
    tiny_data: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    outcome = run_command("train", tiny_data, "--run-dir", tmp_path / "run", *arguments)
    assert_one_clear_error(outcome, code) if "error: " in outcome.err else None
    assert outcome.code == code and all(word in outcome.err for word in words), outcome.err
    assert not (tmp_path / "run").exists()


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    outcome = run_command("train", tmp_path / "nothing", "--run-dir", tmp_path / "run")
    assert_one_clear_error(outcome, 4)
    assert str(tmp_path / "nothing") in outcome.err and "class folders" in outcome.err


@pytest.mark.parametrize(("folders", "words"), [((), "has no class folders"), (("cat",), "1 class found")])
def test_folder_without_classes_is_refused_before_anything_is_written(
    tmp_path: Path, folders: tuple[str, ...], words: str
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in folders:
        (photos / name).mkdir()
        for number in range(3):
            (photos / name / f"{number}.jpg").write_bytes(b"")
    outcome = run_command("train", photos, "--run-dir", tmp_path / "run")
    assert_one_clear_error(outcome, 4)
    assert words in outcome.err and not outcome.out and not (tmp_path / "run").exists()


def test_folder_of_something_else_is_no_run_directory(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").write_text("mine")
    outcome = run_command("train", tiny_data, *SMALL, "--run-dir", tmp_path / "run")
    assert_one_clear_error(outcome, 2)
    assert "no run directory" in outcome.err and [path.name for path in (tmp_path / "run").iterdir()] == ["letter.txt"]


def test_changed_recipe_is_not_overwritten(tiny_data: Path, tmp_path: Path) -> None:
    arguments = ("train", tiny_data, *SMALL, "--run-dir", tmp_path / "run", *set_(PLAIN), "--until", "data")
    assert run_command(*arguments).code == 0
    assert run_command(*arguments, "--epochs", 2).code == 0  # of its own it may be replaced
    recipe = tmp_path / "run" / "recipe.yaml"
    assert load_recipe(recipe).recipe.train.epochs == 2
    changed = recipe.read_text().replace("epochs: 2", "epochs: 7")
    recipe.write_text(changed)
    outcome = run_command(*arguments)
    assert_one_clear_error(outcome, 2)
    assert "has been changed" in outcome.err and f"tmkd-pipeline run {recipe}" in outcome.err
    assert recipe.read_text() == changed
