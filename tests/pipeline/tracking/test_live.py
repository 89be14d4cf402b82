from pathlib import Path

import numpy as np
import pytest

from exporters.core.errors import GateError, UnavailableError
from pipeline.console import Console
from pipeline.tracking import registry
from pipeline.tracking.live import describe, resend, tracked
from tests.pipeline.tracking.conftest import STUDENT, TEACHER, StoredRun, expected, make_recipe, printed, tracked_by
from tests.pipeline.tracking.test_tensorboard import points, read, text


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    return StoredRun(tmp_path / "r", tracked_by("tensorboard"))


def folder(run: StoredRun, name: str = "r") -> Path:
    return run.described.directory / "tensorboard" / name


def sent(run: StoredRun, name: str = "r") -> list[tuple[str, int, float]]:
    """Every point of an epoch."""
    return [point for point in points(read(folder(run, name))) if not point[0].startswith("final/")]


def assert_all_once(run: StoredRun, name: str = "r") -> None:
    found = sent(run, name)
    wanted = {key: np.float32(value) for key, value in expected(run).items()}
    assert len(found) == len(wanted)
    assert {(name, step): np.float32(value) for name, step, value in found} == wanted


def test_epochs_are_sent_as_they_end_and_the_result_at_the_end(run: StoredRun, console: Console) -> None:
    with tracked(run.directory, run.recipe, console):
        run.train("teacher", TEACHER[:1])
        assert {step for _, step, _ in sent(run)} == {1}, "while the run goes on"
        run.finish()
    assert_all_once(run)
    assert text(read(folder(run)), "result") == "shipped"
    assert printed(console).count("tensorboard --logdir") == 1


def test_an_interrupted_run_goes_on_in_the_same_place_without_double_steps(run: StoredRun, console: Console) -> None:
    with pytest.raises(KeyboardInterrupt), tracked(run.directory, run.recipe, console):
        run.finish(until="fusion")
        run.record("distill", "running")
        run.train("distill", STUDENT[:1])
        raise KeyboardInterrupt
    assert text(read(folder(run)), "result") == "unfinished"
    with tracked(run.directory, run.recipe, console):
        run.train("distill", STUDENT)  # the first epoch is logged again
        for stage in ("distill", "validate", "export", "parity", "bundle"):
            run.record(stage)
    assert_all_once(run)
    assert [path.name for path in folder(run).parent.iterdir()] == ["r"]


def test_a_run_that_reuses_everything_is_sent_whole_once(run: StoredRun, console: Console) -> None:
    run.finish()
    for _ in range(2):
        with tracked(run.directory, run.recipe, console):
            pass
    assert_all_once(run)
    assert printed(console).count("tensorboard --logdir") == 1, "the second time there is nothing to send"


def test_figures_of_an_earlier_recipe_are_not_sent(run: StoredRun, console: Console) -> None:
    run.finish()
    run.recipe = tracked_by("tensorboard").model_copy(update={"seed": 9})
    with pytest.raises(GateError), tracked(run.directory, run.recipe, console):
        raise GateError("stopped before the student was trained again")
    assert {name.partition("/")[0] for name, _, _ in sent(run)} == {"teacher"}


def test_a_failed_gate_is_told_to_the_tracker(run: StoredRun, console: Console) -> None:
    with pytest.raises(GateError), tracked(run.directory, run.recipe, console):
        run.finish(until="distill")
        run.record("validate", "failed", message="validate.min_top1 FAILED", gate=True)
        raise GateError("validate.min_top1 FAILED")
    assert text(read(folder(run)), "result") == "refused\n\nvalidate: validate.min_top1 FAILED"


def test_a_tracker_that_fails_is_told_once_and_its_figures_can_be_sent_later(run: StoredRun, console: Console) -> None:
    blocked = folder(run).parent
    blocked.parent.mkdir()
    blocked.write_text("in the way")
    with tracked(run.directory, run.recipe, console):
        run.finish()
    told = printed(console)
    assert told.count("failed, and the run goes on without it") == 1
    assert "lacks 4 epochs and the results, from teacher 1 on" in told
    assert f"tmkd-pipeline track {run.directory.path}" in told
    with pytest.raises(UnavailableError, match="lacks 4 epochs"):
        resend(run.directory, run.recipe, console)
    blocked.unlink()
    assert resend(run.directory, run.recipe, console)
    assert_all_once(run)
    assert not resend(run.directory, run.recipe, console)


def test_a_tracker_that_comes_back_has_all_at_the_end(run: StoredRun, console: Console) -> None:
    blocked = folder(run).parent
    blocked.parent.mkdir()
    blocked.write_text("in the way")
    with tracked(run.directory, run.recipe, console):
        run.train("teacher", TEACHER)
        blocked.unlink()
        run.finish()
    assert_all_once(run)
    assert "lacks" not in printed(console)


def test_a_server_that_is_not_there_loses_nothing(tmp_path: Path, console: Console) -> None:
    run = StoredRun(tmp_path / "r", tracked_by("tensorboard", "mlflow", mlflow={"uri": "http://127.0.0.1:9"}))
    with tracked(run.directory, run.recipe, console):
        run.finish()
    assert_all_once(run)
    assert printed(console).count("mlflow failed, and the run goes on without it") == 1
    assert "mlflow lacks 4 epochs and the results" in printed(console)


def test_missing_package_ends_a_run_before_it_begins(
    run: StoredRun, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda _name: None)
    with pytest.raises(UnavailableError, match="tensorboard"), tracked(run.directory, run.recipe, console):
        raise AssertionError("not reached")
    with tracked(run.directory, make_recipe(), console):
        pass


def test_a_directory_that_another_process_holds_is_left_alone(run: StoredRun, console: Console) -> None:
    run.finish()
    with run.directory.held(), tracked(run.directory, run.recipe, console):
        pass
    with run.directory.held(), pytest.raises(UnavailableError, match="held by another run"):
        resend(run.directory, run.recipe, console)
    assert not folder(run).exists()


def test_a_run_that_never_began_is_not_tracked(tmp_path: Path, console: Console) -> None:
    from pipeline.runner.rundir import RunDirectory

    with pytest.raises(UnavailableError), tracked(RunDirectory(tmp_path / "none"), tracked_by("tensorboard"), console):
        raise UnavailableError("no data")
    assert not (tmp_path / "none").exists()


def test_anew_begins_another_run(run: StoredRun, console: Console) -> None:
    run.finish()
    resend(run.directory, run.recipe, console)
    resend(run.directory, run.recipe, console, anew=True)
    assert_all_once(run, "r")
    assert_all_once(run, "r-2")


def test_a_run_is_called_by_its_directory_unless_it_has_a_name(run: StoredRun) -> None:
    assert describe(run.directory, run.recipe).name == "r" and describe(run.directory, run.recipe).project == "birds"
    named = tracked_by("mlflow", name="second", project="all birds", directory="logs")
    found = describe(run.directory, named)
    assert (found.name, found.project, found.directory) == ("second", "all birds", Path("logs"))
    assert {"version", "recipe_name", "recipe_sha256"} <= {*found.tags}
