"""`recipe.lock.yaml` repeats a run: the same student bit for bit in another directory, from the same images alone."""

import shutil
from pathlib import Path

import pytest
import torch

from exporters.core.files import read_json, sha256_file, write_json
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner import lock_file
from pipeline.runner.lock_file import write_lock
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.conftest import assert_one_clear_error, draw, make_data, run_command, set_, write_recipe

SMALLEST = {"distill.method": "ce", "train.epochs": 1}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_file, "may_be_cuda", lambda recipe: recipe.device == "cuda")


def locked(run: RunDirectory) -> Recipe:
    return load_recipe(str(run.path / "recipe.lock.yaml")).recipe


def test_device_that_auto_means_is_written_out(tmp_path: Path, here: None) -> None:
    run = RunDirectory(tmp_path)
    write_lock(run, Recipe())
    assert locked(run).device == "cpu"
    write_lock(run, Recipe(device="cuda"))
    assert locked(run).device == "cuda"


def test_lock_has_the_images_once_their_stage_is_done(tmp_path: Path, here: None) -> None:
    run = RunDirectory(tmp_path)
    write_json(tmp_path / "data" / "index.json", {"fingerprint": "b" * 64})
    write_lock(run, Recipe())
    assert locked(run).lock.data is None  # half of an earlier attempt, for all that is known
    run.write_record(StageRecord("data", "done", "f"))
    write_lock(run, Recipe())
    assert locked(run).lock.data == "b" * 64
    (tmp_path / "data" / "index.json").write_text("[")
    write_lock(run, Recipe())
    assert locked(run).lock.data is None


def test_threads_of_an_earlier_attempt_stay_where_pytorch_is_not_loaded(
    tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(tmp_path)
    write_lock(run, Recipe())
    assert locked(run).lock.threads == read_json(tmp_path / "environment.json")["threads"] == torch.get_num_threads()
    monkeypatch.setattr(lock_file, "loaded_threads", lambda: None)
    write_lock(run, Recipe())
    assert locked(run).lock.threads == torch.get_num_threads()
    (tmp_path / "recipe.lock.yaml").write_text("trian: {}")
    write_lock(run, Recipe())
    assert locked(run).lock.threads is None


def test_lock_gives_the_same_student_in_another_directory_and_refuses_other_images(tmp_path: Path) -> None:
    data = make_data(tmp_path / "shapes")
    recipe = write_recipe(tmp_path / "tiny.yaml", data)
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    outcome = run_command("run", recipe, "--run-dir", first, "--until", "distill", *set_(SMALLEST))
    assert outcome.code == 0, outcome.err
    lock = shutil.copy(first / "recipe.lock.yaml", tmp_path / "copied.yaml")
    assert load_recipe(lock).recipe.lock.threads == torch.get_num_threads()

    repeated = run_command("run", lock, "--run-dir", again, "--until", "distill")
    assert repeated.code == 0 and "may differ" not in repeated.out + repeated.err, repeated.err
    assert "no effect" not in repeated.out
    for name in ("chosen/student.safetensors", "final/student.safetensors", "history.json"):
        assert sha256_file(first / "distill" / name) == sha256_file(again / "distill" / name), name
    assert (first / "recipe.lock.yaml").read_text() == (again / "recipe.lock.yaml").read_text()
    assert run_command("run", lock, "--run-dir", first, "--until", "distill").stages_run == []  # its own run

    draw("red_disc", 77).save(data / "train" / "red_disc" / "00.png")
    refused = run_command("run", lock, "--run-dir", other, "--until", "distill")
    assert_one_clear_error(refused, 4)
    assert "lock.data: the images or their splits are not those" in refused.err and not (other / "distill").exists()
    assert run_command("check", lock, "--set", "lock=null").code == 0
