"""`run` from Python: what it returns, raises and prints, in this thread and in others."""

import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from exporters.core.files import read_json
from pipeline import load_recipe, run
from pipeline.console import Console
from pipeline.errors import GateError, UsageError
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.conftest import Run, run_command


def test_result_is_that_of_the_command(run_: Run, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(run_.recipe, run_dir=str(run_.directory), report=False, estimate=False)
    printed = capsys.readouterr()
    assert "data: reused" in printed.out and printed.err == ""
    command = run_command("run", run_.recipe, "--run-dir", run_.directory, "--json")
    assert result.outcome == json.loads(command.out)
    assert (result.status, result.bundle, result.report) == ("shipped", run_.directory / "bundle", None)
    assert result.student is not None
    verdict = read_json(run_.directory / "validate" / "verdict.json")
    assert result.student["test_top1"] == verdict["student"]["chosen"]["test"]["top1"]
    assert {line["stage"] for line in result.metrics} >= {"teacher", "distill"} and all(
        "loss" in line for line in result.metrics
    )
    assert "student, epoch" in repr(result) and "<td>" in result._repr_html_() and str(result.bundle) in repr(result)


def test_quiet_run_prints_nothing_and_stops_where_it_is_told(run_: Run, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(load_recipe(run_.recipe), run_dir=run_.directory, until="data", report=False, quiet=True)
    assert capsys.readouterr() == ("", "")
    assert result.status == "stopped" and result.bundle is None
    fresh = run(run_.recipe, run_dir=run_.directory.with_name("fresh"), until="data", report=False, quiet=True)
    assert fresh.student is None and "finished: data" in repr(fresh) and fresh.metrics == []


def test_failed_gate_carries_the_run_and_its_student(run_: Run) -> None:
    recipe = load_recipe(run_.recipe, overrides={"validate.min_top1": 1.0})
    with pytest.raises(GateError, match=r"validate\.min_top1") as failed:
        run(recipe, run_dir=run_.directory, report=False, estimate=False, quiet=True)
    report = failed.value.report
    assert report.status == "failed" and report.outcome["exit_code"] == 3 and report.bundle is None
    assert 0 <= report.student["validation_top1"] < 1 and "failed" in repr(report)
    again = run(run_.recipe, run_dir=run_.directory, report=False, estimate=False, quiet=True)
    assert again.status == "shipped"


def test_unknown_stage_is_refused_with_those_there_are(tiny_recipe: Path) -> None:
    with pytest.raises(UsageError, match=r"until: there is no stage 'train'\n  Known: data, baseline"):
        run(tiny_recipe, until="train")
    with pytest.raises(UsageError, match="force: there is no stage 'x'"):
        run(tiny_recipe, force="x")


def test_error_names_arguments_of_python(run_: Run) -> None:
    with pytest.raises(UsageError) as refused:
        run(run_.recipe, run_dir=run_.directory, until="data", force="bundle", quiet=True)
    assert "force" in str(refused.value) and "--force" not in str(refused.value)


def test_training_works_in_a_thread_where_signals_cannot_be_set(run_: Run) -> None:
    expected = (run_.directory / "distill" / "chosen" / "student.safetensors").read_bytes()
    results: list[object] = []

    def work() -> None:
        try:
            results.append(run(run_.recipe, run_dir=run_.directory, force="distill", until="distill", quiet=True))
        except BaseException as error:  # which a thread would only print
            results.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert getattr(results[0], "status", results[0]) == "stopped"
    assert (run_.directory / "distill" / "chosen" / "student.safetensors").read_bytes() == expected


@pytest.mark.usefixtures("interrupts_heard")
def test_interrupted_training_is_saved_and_the_same_call_goes_on(run_: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by the stop button of a notebook, which sends SIGINT to the main thread."""
    expected = (run_.directory / "distill" / "chosen" / "student.safetensors").read_bytes()
    log = RunDirectory.log_metrics

    def stop(self: RunDirectory, stage: str, epoch: int, metrics: dict[str, Any]) -> None:
        log(self, stage, epoch, metrics)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunDirectory, "log_metrics", stop)
        run(run_.recipe, run_dir=run_.directory, force="distill", until="distill", report=False, quiet=True)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    epochs: list[int] = []
    monkeypatch.setattr(Console, "epoch_done", lambda *entry: epochs.append(entry[2]))
    run(run_.recipe, run_dir=run_.directory, until="distill", report=False, quiet=True)
    assert epochs == [2]  # the first one is not trained again
    assert (run_.directory / "distill" / "chosen" / "student.safetensors").read_bytes() == expected


@pytest.fixture
def run_(request: pytest.FixtureRequest) -> Run:
    """A copy of the finished run, under a name that leaves `run` to what is tested."""
    found = request.getfixturevalue("run")
    assert isinstance(found, Run)
    return found
