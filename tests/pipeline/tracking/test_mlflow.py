"""A database of MLflow, read back by its own client."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from pipeline.console import Console
from pipeline.tracking.live import resend
from pipeline.tracking.mlflow import Mlflow
from pipeline.tracking.registry import make_tracker
from tests.pipeline.tracking.conftest import StoredRun, epoch, expected, tracked_by


def client_of(run: StoredRun) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{run.described.directory.absolute()}/mlflow.db")


def runs_of(run: StoredRun) -> list[MlflowRun]:
    client = client_of(run)
    experiment = client.get_experiment_by_name("birds")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run that was sent whole, with its model; making the database takes a second."""
    import io

    recipe = tracked_by("mlflow", artifacts=["model", "recipe"], group="a group")
    run = StoredRun(tmp_path_factory.mktemp("mlflow") / "first", recipe)
    run.finish()
    (run.directory.path / "bundle").mkdir()
    (run.directory.path / "bundle" / "model.onnx").write_bytes(b"a model")
    resend(run.directory, recipe, Console(io.StringIO(), plain=True))
    return run


def test_metrics_are_the_figures_of_the_metrics_file(sent: StoredRun) -> None:
    (found,) = runs_of(sent)
    client = client_of(sent)
    names = {name for name in found.data.metrics if not name.startswith("final/")}
    points = [
        (name, point.step, point.value)
        for name in names
        for point in client.get_metric_history(found.info.run_id, name)
    ]
    assert len(points) == len(expected(sent))
    assert {(name, step): value for name, step, value in points} == expected(sent)
    assert found.data.metrics["final/student/test/top1"] == 0.5625


def test_recipe_tags_status_and_files_are_there(sent: StoredRun) -> None:
    (found,) = runs_of(sent)
    assert found.info.run_name == "first" and found.info.status == "FINISHED"
    assert found.data.params == dict(sent.described.parameters)
    assert sent.described.tags.items() <= found.data.tags.items()
    assert found.data.tags["state"] == "shipped" and found.data.tags["group"] == "a group"
    files = {file.path for file in client_of(sent).list_artifacts(found.info.run_id)}
    assert files == {"model.onnx", "recipe.lock.yaml"}
    assert (Path(found.info.artifact_uri.removeprefix("file://")) / "model.onnx").read_bytes() == b"a model"


def test_a_run_is_gone_on_with_and_knows_its_epochs(sent: StoredRun) -> None:
    (before,) = runs_of(sent)
    again = make_tracker("mlflow", sent.described)
    assert again.open(before.info.run_id) == before.info.run_id
    assert runs_of(sent)[0].info.status == "RUNNING"
    assert again.has(epoch(2, loss=0.25)) and not again.has(epoch(3, loss=0.25)) and not again.has(epoch(1, other=1.0))
    again.close()
    client_of(sent).set_terminated(before.info.run_id, "FINISHED")


def test_a_run_that_the_server_lost_is_begun_anew(sent: StoredRun) -> None:
    tracker = make_tracker("mlflow", sent.described)
    begun = tracker.open("0" * 32)
    assert begun != "0" * 32
    client_of(sent).delete_run(begun)
    assert make_tracker("mlflow", sent.described).open(begun) not in (begun, "0" * 32)


def test_passwords_of_an_address_are_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = StoredRun(tmp_path / "r", tracked_by("mlflow", mlflow={"uri": "https://me:secret@host:5000/x"}))
    tracker = Mlflow(run.described)
    assert tracker.hint == "https://host:5000/x" and "secret" not in tracker.place
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert Mlflow(StoredRun(tmp_path / "s", tracked_by("mlflow")).described).hint == "http://127.0.0.1:5000"
