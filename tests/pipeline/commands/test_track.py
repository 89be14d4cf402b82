import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.pipeline.conftest import Run, assert_one_clear_error, run_command
from tests.pipeline.tracking.wandb_files import history


def steps(folder: Path) -> dict[str, list[int]]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {name: [event.step for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_a_run_that_was_made_without_trackers_is_sent_once(run: Run) -> None:
    outcome = run_command("track", run.directory, "--to", "tensorboard")
    assert outcome.code == 0, outcome.err
    (folder,) = (run.directory / "tracking" / "tensorboard").iterdir()
    lines = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    for training in {line["stage"] for line in lines}:
        epochs = [line["epoch"] for line in lines if line["stage"] == training]
        assert steps(folder)[f"{training}/loss"] == epochs
    assert "final/student/test/top1" in steps(folder)
    again = run_command("track", run.directory, "--to", "tensorboard")
    assert again.code == 0 and "nothing new to send" in again.out
    told = json.loads(run_command("track", run.directory, "--to", "tensorboard", "--json").out)
    assert told == {"runs": [{"run_directory": str(run.directory), "trackers": ["tensorboard"], "sent": False}]}
    planned = run_command("plan", run.directory / "recipe.lock.yaml", "--run-dir", run.directory)
    assert planned.out.count("reuse") >= 8, "a tracker repeats no stage"


def test_a_run_with_all_trackers_gives_the_same_student_and_each_has_its_epochs(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    before = run.record("distill")["outputs"]
    outcome = run("--set", "track.to=[tensorboard, mlflow, wandb]", "--force", "distill", "--until", "distill")
    assert outcome.code == 0, outcome.err
    assert "── teacher: reused" in outcome.out
    students = {name: digest for name, digest in run.record("distill")["outputs"].items() if "safetensors" in name}
    assert students and students.items() <= before.items()
    tracking = run.directory / "tracking"
    assert steps(tracking / "tensorboard" / "run")["distill/loss"] == [1, 2]
    client = MlflowClient(tracking_uri=f"sqlite:///{tracking}/mlflow.db")
    (found,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert [point.step for point in client.get_metric_history(found.info.run_id, "distill/loss")] == [1, 2]
    assert (found.info.status, found.data.tags["state"]) == ("FINISHED", "finished")
    (file,) = tracking.glob("wandb/offline-run-*/*.wandb")
    lines = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    losses = {(line["stage"], line["epoch"]): line["loss"] for line in lines}
    assert {
        (name.removesuffix("/epoch"), epoch): values[f"{name.removesuffix('/epoch')}/loss"]
        for _, values in history(file)
        for name, epoch in values.items()
        if name.endswith("/epoch")
    } == losses


@pytest.mark.parametrize("folder", ["empty", "none"])
def test_folder_that_is_no_run_is_one_clear_error(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    assert_one_clear_error(run_command("track", tmp_path / folder, "--to", "tensorboard"), 2)


def test_a_run_that_names_no_tracker_asks_for_one(run: Run) -> None:
    outcome = run_command("track", run.directory)
    assert_one_clear_error(outcome, 2)
    assert "--to tensorboard,mlflow,wandb" in outcome.err


def test_only_keys_of_trackers_can_be_changed(run: Run) -> None:
    outcome = run_command("track", run.directory, "--to", "tensorboard", "--set", "train.epochs=3")
    assert_one_clear_error(outcome, 2)


def test_a_tracker_that_fails_ends_with_4(run: Run) -> None:
    (run.directory / "tracking").mkdir()
    (run.directory / "tracking" / "tensorboard").write_text("in the way")
    outcome = run_command("track", run.directory, "--to", "tensorboard")
    assert_one_clear_error(outcome, 4)


def test_a_comparison_is_sent_run_by_run(run: Run, tmp_path: Path) -> None:
    for arm in ("ce", "kd"):
        target = tmp_path / "birds-compare" / "runs" / arm / "seed-3"
        target.parent.mkdir(parents=True)
        run.directory.rename(target) if arm == "kd" else _copied(run.directory, target)
    outcome = run_command("track", tmp_path / "birds-compare", "--to", "tensorboard")
    assert outcome.code == 0, outcome.err
    folders = {path.name for path in (tmp_path / "birds-compare" / "tracking" / "tensorboard").iterdir()}
    assert folders == {"birds-compare-ce-seed-3", "birds-compare-kd-seed-3"}


def _copied(source: Path, target: Path) -> None:
    import shutil

    shutil.copytree(source, target)
