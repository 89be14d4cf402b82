"""Runs that are killed or interrupted: they end as if nothing had happened, and leave nothing half-written."""

import json
import os
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from exporters.core.files import read_json, sha256_file
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.conftest import Outcome, Run, set_, start_command, wait_for

# Three views, weighed by the visual teacher: starting processes is slow enough without a CLIP.
PASSES = 8
CHANGED = {"train.epochs": PASSES, "distill.weighting.by": "teacher_confidence", "distill.contrast.weight": 0}
LONG = set_(CHANGED)


def passes_of_the_student(directory: Path) -> list[int]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [line["epoch"] for line in lines if line["stage"] == "distill"]


def assert_no_half_file(directory: Path) -> None:
    """Every file under a final name can be read whole."""
    for path in directory.rglob("*"):
        if path.name.startswith(".") or path.is_dir():
            continue
        if path.suffix == ".json":
            read_json(path)
        elif path.suffix == ".safetensors":
            load_file(path)
        elif path.name == "checkpoint.pt":
            import torch

            assert torch.load(path, weights_only=True)["state"]["history"]
    passes_of_the_student(directory)


def test_a_killed_and_then_interrupted_run_ends_with_the_same_student(run: Run, tmp_path: Path) -> None:
    uninterrupted = Run(run.recipe, run.data, tmp_path / "uninterrupted")
    shutil.copytree(run.directory, uninterrupted.directory)
    assert uninterrupted(*LONG, "--until", "distill").code == 0

    # Killed without warning, after the first pass or later.
    command = ["run", run.recipe, "--run-dir", run.directory, *LONG, "--until", "distill"]
    (run.directory / "metrics.jsonl").write_text("")
    process = start_command(*command)
    wait_for(lambda: bool(passes_of_the_student(run.directory)), process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = passes_of_the_student(run.directory)
    assert 1 <= len(done) < PASSES
    assert run.record("distill")["status"] == "running"
    assert_no_half_file(run.directory)
    assert run.plan(CHANGED)["distill"] == ("continue", "it was interrupted")

    # Goes on, and is interrupted at the keyboard.
    process = start_command(*command)
    wait_for(lambda: len(passes_of_the_student(run.directory)) > len(done), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    again = shlex.join(["tmkd-pipeline", *map(str, command)])
    assert err.endswith(f"interrupted; nothing is half-written, and the same command goes on from there:\n  {again}\n")
    assert "Traceback" not in err
    assert "student: resuming after epoch" in out
    assert_no_half_file(run.directory)

    # Goes on to the end, in another process than the one that began, and in a copy under another name.
    run = Run(run.recipe, run.data, shutil.copytree(run.directory, tmp_path / "a copy elsewhere"))
    outcome = run(*LONG, "--until", "distill")
    assert outcome.code == 0 and outcome.stages_run == ["distill"]
    assert outcome.heading("distill") == "── distill: it was interrupted"
    assert "resuming after epoch" in outcome.out
    for which in ("chosen", "final"):
        name = Path("distill") / which / "student.safetensors"
        assert sha256_file(run.directory / name) == sha256_file(uninterrupted.directory / name)
    assert read_json(run.directory / "distill" / "history.json") == read_json(
        uninterrupted.directory / "distill" / "history.json"
    )
    assert passes_of_the_student(run.directory) == list(range(1, PASSES + 1))
    assert not (run.directory / "distill" / "checkpoint.pt").exists()


def test_a_checkpoint_of_other_settings_is_not_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    log = RunDirectory.log_metrics

    def interrupt(directory: RunDirectory, stage: str, pass_: int, metrics: dict[str, Any]) -> None:
        if stage == "distill" and pass_ == 2:
            raise KeyboardInterrupt
        log(directory, stage, pass_, metrics)

    monkeypatch.setattr(RunDirectory, "log_metrics", interrupt)
    outcome = run(*set_({"train.epochs": 3}), "--until", "distill")
    assert outcome.code == 130 and "goes on from there" in outcome.err
    assert (run.directory / "distill" / "checkpoint.pt").exists()
    monkeypatch.undo()
    assert "resuming" not in run(*set_({"train.epochs": 3, "seed": 4}), "--until", "distill").out


def test_lock_of_a_killed_process_is_ignored(run: Run) -> None:
    (run.directory / ".lock").write_text("999999")
    outcome: Outcome = run()
    assert outcome.code == 0
    assert (run.directory / ".lock").read_text() == str(os.getpid())


def test_leftovers_of_a_killed_process_are_removed(run: Run) -> None:
    leftovers = [".bundle-ab12.tmp", ".bundle-cd34.old", ".bundle-x.tmp.tar", "stages/.data-y.tmp.json"]
    for name in leftovers[:2]:
        (run.directory / name / "golden").mkdir(parents=True)
        (run.directory / name / "golden" / "inputs.npz").write_bytes(b"half")
    for name in leftovers[2:]:
        (run.directory / name).write_bytes(b"half")
    assert run("--until", "data").code == 0
    assert [name for name in leftovers if (run.directory / name).exists()] == []
