"""The command `run`: where it writes, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from tests.pipeline.conftest import CLASSES, Run, assert_one_clear_error, run_command, set_, write


def test_default_run_directory(tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command("run", tiny_recipe, "--until", "data", *set_({"name": "mine"})).code == 0
    assert (tmp_path / "runs" / "mine" / "stages" / "data.json").is_file()


def test_unknown_recipe_suggests_the_nearest() -> None:
    outcome = run_command("run", "recipes/quickstrat.yaml")
    assert_one_clear_error(outcome, 2)
    assert "recipes/quickstrat.yaml" in outcome.err and "Did you mean quickstart?" in outcome.err
    assert "recipes list" in outcome.err


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = "train: {epochs: many, lr: -1}\nstudnet: {model: x}\ndistill: {method: magic}\n"
    outcome = run_command("run", write(tmp_path / "bad.yaml", text), "--set", "train.batch_size=0")
    assert_one_clear_error(outcome, 2)
    for line in (
        "bad.yaml:1:9: train.epochs: expected", "train.lr: expected", "studnet: unknown key; did you mean student?",
        "distill.method: expected", "--set train.batch_size=0: train.batch_size: expected",
    ):  # fmt: skip
        assert line in outcome.err
    assert "got 'many'" in outcome.err and "got -1" in outcome.err and "got 'magic'" in outcome.err


def test_setting_an_unknown_key_suggests_the_nearest() -> None:
    outcome = run_command("run", "quickstart", "--set", "train.epoch=3")
    assert_one_clear_error(outcome, 2)
    assert "--set train.epoch=3: train.epoch: unknown key; did you mean train.epochs?" in outcome.err
    assert_one_clear_error(run_command("plan", "quickstart", "--set", "train.epochs"), 2)


def test_unknown_models_are_refused_before_training(run: Run, tmp_path: Path) -> None:
    for key, value, near in (
        ("student.model", "mobilenet_v22", "mobilenet_v2"),
        ("teacher.visual.model", "cifar:resnet9", "resnet8"),
    ):
        arguments = ("run", run.recipe, "--run-dir", tmp_path / key, *set_({key: value}))
        outcome = run_command(*arguments)
        assert_one_clear_error(outcome, 2)
        assert value.removeprefix("cifar:") in outcome.err and near in outcome.err
        assert key.removesuffix(".model") in outcome.err
        assert "images/s" not in outcome.out


def test_missing_data_set_is_named_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run_command("run", "recipes/cub_mobilenet.yaml")
    assert_one_clear_error(outcome, 4)
    assert "data/CUB_200_2011" in outcome.err and "--set data.root=" in outcome.err
    assert "tar -xzf CUB_200_2011.tgz" in outcome.err or "tmkd-pipeline data prepare" in outcome.err


def test_empty_class_folder_is_named(tiny_data: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_data, tmp_path / "data")
    empty = tmp_path / "data" / "train" / "yellow_star"
    empty.mkdir()
    outcome = run_command("run", tiny_recipe, "--run-dir", tmp_path / "run", *set_({"data.root": tmp_path / "data"}))
    assert_one_clear_error(outcome, 4)
    assert str(empty) in outcome.err and "no images" in outcome.err


def test_unreadable_image_is_named_or_left_out(tiny_data: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_data, tmp_path / "data")
    broken = tmp_path / "data" / "train" / CLASSES[1] / "03.png"
    broken.write_bytes(broken.read_bytes()[:200])
    arguments = ("run", tiny_recipe, "--run-dir", tmp_path / "run", *set_({"data.root": tmp_path / "data"}))
    outcome = run_command(*arguments)
    assert_one_clear_error(outcome, 4)
    assert str(broken) in outcome.err and "data.on_error=skip" in outcome.err
    record = json.loads((tmp_path / "run" / "stages" / "data.json").read_text())
    assert record["status"] == "failed" and str(broken) in record["message"]

    outcome = run_command(*arguments, "--set", "data.on_error=skip", "--until", "data")
    assert outcome.code == 0
    assert "1 unreadable image was left out" in outcome.out and "train 47" in outcome.out
    index = json.loads((tmp_path / "run" / "data" / "index.json").read_text())
    assert [file["path"] for file in index["skipped"]] == [f"train/{CLASSES[1]}/03.png"]
