"""The option `--devices`, and runs of several processes."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from exporters.core.files import sha256_file
from tests.pipeline.conftest import Run, assert_one_clear_error, run_command, set_, start_command, wait_for
from tests.pipeline.runner.test_resume import assert_no_half_file, passes_of_the_student

EPOCHS = 8
LONG = set_({"train.epochs": EPOCHS, "distill.weighting.by": "teacher_confidence", "distill.contrast.weight": 0})


def processes_of(parent: int) -> dict[str, int]:
    """Rank → process id of the children that a launcher has started."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) != parent:
                continue
            variables = dict(item.split("=", 1) for item in (folder / "environ").read_text().split("\0") if "=" in item)
        except (OSError, ValueError, IndexError):
            continue
        if "RANK" in variables:
            found[variables["RANK"]] = int(folder.name)
    return found


@pytest.mark.parametrize("command", ["run", "compare"])
def test_more_devices_than_there_are_is_one_clear_error(command: str, tiny_recipe: Path, tmp_path: Path):
    outcome = run_command(command, tiny_recipe, "--run-dir", tmp_path / "run", "--devices", 1000)
    assert_one_clear_error(outcome, 4)
    assert "--devices 1000: this machine has" in outcome.err
    assert not (tmp_path / "run").exists()


def test_train_asks_for_devices_too(tmp_path: Path):
    outcome = run_command("train", tmp_path / "photos", "--devices", 1000, "--set", "device=cpu")
    assert_one_clear_error(outcome, 4)
    assert "--devices 1000: this machine has" in outcome.err


def test_mistakes_of_a_recipe_are_told_before_processes_start(tiny_recipe: Path):
    outcome = run_command("run", tiny_recipe, "--devices", 2, *set_({"train.epochs": 0}))
    assert_one_clear_error(outcome, 2)
    assert "train.epochs" in outcome.err


def test_broken_variables_of_a_launcher_are_one_clear_error(tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "2")
    outcome = run_command("run", tiny_recipe)
    assert_one_clear_error(outcome, 2)
    assert "environment variable RANK" in outcome.err


@pytest.mark.slow
@pytest.mark.timeout(1200)  # three runs of two processes each
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_end_of_one_process_ends_all_and_the_run_goes_on_afterwards(rank: str, run: Run, tmp_path: Path):
    whole = tmp_path / "whole"
    shutil.copytree(run.directory, whole)
    options = [*LONG, "--until", "distill", "--devices", "2"]
    undisturbed = start_command("run", run.recipe, "--run-dir", whole, *options)
    output, errors = undisturbed.communicate()
    assert undisturbed.returncode == 0, output + errors
    assert errors == ""

    (run.directory / "metrics.jsonl").write_text("")
    process = start_command("run", run.recipe, "--run-dir", run.directory, *options)
    wait_for(lambda: bool(passes_of_the_student(run.directory)), process)
    children = processes_of(process.pid)
    assert children.keys() == {"0", "1"}
    os.kill(children[rank], signal.SIGKILL)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 4
    assert errors.startswith(f"error: process {int(rank) + 1} of 2 was ended by SIGKILL")
    assert len(errors.splitlines()) == 2
    assert not any(Path(f"/proc/{child}").exists() for child in children.values())
    assert 1 <= len(passes_of_the_student(run.directory)) < EPOCHS
    assert_no_half_file(run.directory)

    again = start_command("run", run.recipe, "--run-dir", run.directory, *options)
    output, errors = again.communicate()
    assert again.returncode == 0, output + errors
    assert "resuming after epoch" in output
    for which in ("chosen", "final"):
        ours, theirs = ((place / "distill" / which / "student.safetensors") for place in (run.directory, whole))
        assert sha256_file(ours) == sha256_file(theirs)
    assert all(torch.isfinite(value).all() for value in load_file(ours).values())


@pytest.mark.slow
@pytest.mark.timeout(1200)  # two runs of two processes each
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
@pytest.mark.parametrize("seen", ["crop", "image"])
def test_student_of_sharded_teachers_is_that_of_whole_ones(seen: str, run: Run, tmp_path: Path):
    """With teachers that are used as they are, in every stage that asks them, and a cache of half of the epochs."""
    taught = {
        "teacher.visual.weights": run.directory / "teacher" / "student.safetensors",
        "teacher.visual.fit": "null",
        "teacher.text.weights": shutil.copy(run.directory / "text" / "clip.safetensors", tmp_path),
        "teacher.runtime": "torch",
        "distill.teacher_cache.passes": 1,
        "distill.weighting.seen": seen,
    }
    students = []
    for shard in ("false", "true"):
        options = set_({**taught, "teacher.visual.shard": shard, "teacher.text.shard": shard})
        folder = tmp_path / shard
        process = start_command("run", run.recipe, "--run-dir", folder, "--until", "distill", "--devices", 2, *options)
        output, errors = process.communicate()
        assert process.returncode == 0, output + errors
        for network in ("visual teacher", "CLIP's image tower"):  # in the stages fusion and distill
            assert output.count(f"{network}: sharded; ") == (2 if shard == "true" else 0)
        students.append(load_file(folder / "distill" / "final" / "student.safetensors"))
    for name, value in students[0].items():
        torch.testing.assert_close(students[1][name], value, rtol=1e-3, atol=1e-4)
