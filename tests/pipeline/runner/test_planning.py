"""Decisions and their reasons, over stages of a few lines."""

from dataclasses import replace
from pathlib import Path

import pytest

from exporters.core.errors import GateError, UnavailableError
from pipeline.runner.planning import beside_running, plan
from tests.pipeline.runner.stages import RECIPE, Copying, Line


def test_plan_of_a_new_run_writes_nothing(line: Line) -> None:
    assert line.plan() == [("run", "it has not run yet")] * 3
    assert not line.directory.path.exists()


def test_unchanged_outputs_let_later_stages_be_reused(line: Line) -> None:
    line.execute()
    line.a.values["x.unused"] = 1  # runs again and writes the same
    assert line.plan() == [
        ("run", "x.unused was not there, is 1"),
        ("wait", "is reused if a gives the same files"),
        ("wait", "is reused if b gives the same files"),
    ]
    assert line.execute() == ["a"]
    line.a.values["text"] = "new"
    assert line.execute() == ["a", "b", "c"]
    del line.a.values["text"]
    assert line.plan()[0] == ("run", 'text was "new", is not there')


def test_later_stage_gives_its_own_reasons(line: Line) -> None:
    line.execute()
    line.a.values["text"], line.c.values["text"] = "a", "c"
    assert [action for action, _ in line.plan()] == ["run", "wait", "run"]
    assert line.plan()[2] == ("run", 'text was not there, is "c"')
    (line.directory.path / "b" / "text").unlink()
    assert line.plan()[1] == ("run", "b/text is missing")


def test_changed_files_and_earlier_stages_are_named(line: Line) -> None:
    line.b.outside["weights.pt"] = "1"
    line.execute()
    line.b.outside["weights.pt"] = "2"
    assert line.plan()[1] == ("run", "weights.pt changed")
    line.a.values["text"] = "new"
    line.execute(until="a")
    assert line.plan()[1] == ("run", "weights.pt changed; a changed")


def test_plan_names_an_error_without_a_message(line: Line) -> None:
    def fail(folder: Path) -> None:
        raise RuntimeError

    line.b.action = fail
    with pytest.raises(RuntimeError):
        line.execute()
    assert line.plan()[1] == ("continue", "it failed: RuntimeError")


def test_changed_code_of_named_modules_runs_a_stage_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line.execute()
    monkeypatch.setattr(Copying, "modules", lambda self, recipe: ("pipeline.randomness",))
    assert line.plan() == [("run", "its code changed")] * 3
    monkeypatch.undo()
    monkeypatch.setattr(Copying, "libraries", ())
    assert {why for _, why in line.plan()} == {"a library changed"}


class TestPlanAfterFailedGate:
    @pytest.fixture
    def failed(self, line: Line) -> Line:
        def fail(folder: Path) -> None:
            raise GateError("b is too weak", remedy="Train longer.")

        line.execute()
        line.b.values["text"], line.b.action = "worse", fail
        with pytest.raises(GateError):
            line.execute()
        return line

    def test_same_inputs_fail_again_and_later_stages_are_not_reached(self, failed: Line) -> None:
        expected = [
            ("reuse", ""),
            ("fail", "runs again, and fails again: nothing that it follows from has changed; b is too weak;"
                     " Train longer."),
            ("wait", "is not reached while b fails"),
        ]  # fmt: skip
        assert failed.plan() == failed.plan(force="b") == failed.plan(force="c") == expected
        with pytest.raises(GateError):
            failed.execute()

    def test_changed_settings_run_the_failed_stage_again(self, failed: Line) -> None:
        failed.b.values["text"] = "better"
        failed.b.action = lambda folder: None
        assert failed.plan()[1] == ("run", 'text was "worse", is "better"')
        assert failed.plan()[2][0] == "wait"
        assert failed.execute() == ["b", "c"]

    def test_failed_stage_waits_for_an_earlier_one_that_runs_again(self, failed: Line) -> None:
        failed.a.values["x.unused"] = 1
        assert failed.plan()[:2] == [
            ("run", "x.unused was not there, is 1"),
            ("wait", "runs again, and fails again if a gives the same files"),
        ]

    def test_failure_that_is_no_gate_may_pass_the_next_time(self, line: Line) -> None:
        def fail(folder: Path) -> None:
            (folder / "begun").write_text("")
            raise UnavailableError("no disk")

        line.b.action = fail
        with pytest.raises(UnavailableError):
            line.execute()
        assert line.plan()[1:] == [("continue", "it failed: no disk"), ("run", "it has not run yet")]

    def test_missed_latency_is_measured_anew_and_other_gates_are_not(self, failed: Line) -> None:
        record = failed.directory.record("b")
        assert record is not None
        latency = "the student does not pass: validate.max_latency_ms FAILED: 3.2, needed at most 2"
        failed.directory.write_record(replace(record, message=f"{latency}\nTrain another."))
        action, why = failed.plan()[1]
        assert action == "run" and why.startswith("the latency is measured anew, and may be within its bound; ")
        assert failed.plan()[2] != ("wait", "is not reached while b fails")
        both = f"{latency}; validate.max_size_mb FAILED: 9, needed at most 5"
        failed.directory.write_record(replace(record, message=both))
        assert failed.plan()[1][0] == "fail"


def test_plan_beside_a_run_names_the_process_and_its_stage(line: Line) -> None:
    line.execute()
    record = line.directory.record("b")
    assert record is not None
    line.directory.write_record(replace(record, status="running", outputs={}))
    planned = plan(line.stages, RECIPE, line.directory)
    assert planned[1].action == "continue" and planned[2].action == "wait"
    beside = beside_running(planned, line.directory, "123")
    assert [(step.action, *step.why) for step in beside[:2]] == [("reuse",), ("running", "process 123 is at it")]
    line.directory.write_record(replace(record, status="done"))
    assert beside_running(plan(line.stages, RECIPE, line.directory), line.directory, "123")[1].action == "reuse"
