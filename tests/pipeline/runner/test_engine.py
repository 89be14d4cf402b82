"""The engine over stages of a few lines: what runs, what is kept and what is recorded."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporters.core.errors import GateError, UnavailableError, UsageError
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.stage import StageContext
from tests.pipeline.runner.stages import Copying, Line


def test_finished_stages_are_reused(line: Line) -> None:
    assert line.execute() == ["a", "b", "c"]
    assert line.plan() == [("reuse", "")] * 3
    assert line.execute() == []
    assert line.out.getvalue().count("reused") == 3
    record = line.directory.record("b")
    assert record is not None and record.summary == {"runs": 1} and set(record.outputs) == {"b/text"}
    assert set(record.inputs) == {"code", "libraries", "python", "stage a"}


def test_force_and_until_select_the_stages(line: Line) -> None:
    assert line.execute(until="b") == ["a", "b"] and line.status() == ["done", "done", None]
    assert line.plan(force="a") == [
        ("run", "forced"), ("wait", "is reused if a gives the same files"), ("run", "it has not run yet")
    ]  # fmt: skip
    assert line.execute(force="a") == ["a", "c"]


def test_outputs_of_a_skipped_stage_are_kept_and_not_counted(line: Line) -> None:
    line.execute()
    line.a.reason = "not needed"
    line.b.before = ()
    assert line.plan()[0] == ("skip", "not needed")
    # What was done before stays, and does not count while it is not needed.
    assert line.execute() == ["b"] and line.status() == ["done", "done", "done"]
    line.b.before = ("a",)
    assert line.execute() == []
    line.a.reason = None
    assert line.plan()[0] == ("reuse", "")
    assert line.execute() == ["b"]


def test_stage_that_was_never_needed_is_recorded_as_skipped(line: Line) -> None:
    line.a.reason = "not needed"
    line.b.before = ()
    line.execute()
    record = line.directory.record("a")
    assert record is not None and (record.status, record.message) == ("skipped", "not needed")
    line.a.reason = None
    assert line.plan()[0] == ("run", "it has not run yet")


def test_forcing_a_stage_that_is_not_reached_is_refused(line: Line) -> None:
    with pytest.raises(UsageError, match="--force c: the run stops before, at --until b"):
        line.execute(force="c", until="b")
    line.a.reason = "not needed"
    with pytest.raises(UsageError, match="--force a: the recipe has no need"):
        line.execute(force="a")


def test_files_of_a_failed_stage_are_kept_for_the_next_attempt(line: Line) -> None:
    def fail(folder: Path) -> None:
        (folder / "checkpoint").write_text("half way")
        raise UnavailableError("no disk\nat all", remedy="Buy one.")

    line.b.action = fail
    with pytest.raises(UnavailableError):
        line.execute()
    record = line.directory.record("b")
    assert record is not None and record.message == "no disk\nat all\n  Buy one." and record.outputs == {}
    assert line.status() == ["done", "failed", None]
    assert line.plan() == [("reuse", ""), ("continue", "it failed: no disk"), ("run", "it has not run yet")]

    def goes_on(folder: Path) -> None:
        assert (folder / "checkpoint").read_text() == "half way"
        (folder / "checkpoint").unlink()

    line.b.action = goes_on
    assert line.execute() == ["b", "c"] and line.status() == ["done"] * 3


def test_stage_that_runs_out_of_memory_is_named(line: Line) -> None:
    def exhaust(folder: Path) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has none left")

    line.b.action = exhaust
    with pytest.raises(UnavailableError, match=r"^b: CUDA out of memory\. Tried to allocate 2\.00 GiB\n  Free memory"):
        line.execute()
    record = line.directory.record("b")
    assert record is not None and record.message.startswith("b: CUDA out of memory")


def test_record_of_a_stage_that_lost_another_process_says_so_in_words(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(folder: Path) -> None:
        monkeypatch.setenv("RANK", "0")
        monkeypatch.setenv("WORLD_SIZE", "2")
        raise RuntimeError("[/build/gloo/transport/tcp/pair.cc:545] Read error [127.0.0.1]:1243: reset")

    line.b.action = lose
    with pytest.raises(UnavailableError, match=r"^process 1 of 2 lost another one"):
        line.execute()
    assert line.plan()[1] == ("continue", "it failed: process 1 of 2 lost another one, which was ended or failed")


def test_failure_before_any_work_keeps_finished_outputs(line: Line) -> None:
    line.execute()
    before = line.directory.record("b")

    def refuse(folder: Path) -> None:
        raise UnavailableError("no such weights")

    line.b.values["text"] = "mistyped"
    line.b.action = refuse
    with pytest.raises(UnavailableError):
        line.execute()
    assert line.directory.record("b") == before
    line.b.values.clear()
    assert line.execute() == []
    assert not list(line.directory.path.glob(".*.old"))


class Packing(Copying):
    """A stage with an extra output outside its folder, as `bundle` has."""

    extra_outputs = ("c.tar",)

    def run(self, context: StageContext) -> dict[str, Any]:
        figures = super().run(context)
        (context.run.path / "c.tar").write_text(f"tar {self.values.get('text', '')}")
        return figures


def _packed(line: Line) -> dict[str, str]:
    """Name → content of all that the stage c has made, its record included."""
    folder = line.directory.path
    paths = [*(folder / "c").rglob("*"), folder / "c.tar", folder / "stages" / "c.json"]
    return {path.name: path.read_text() for path in paths if path.is_file()}


@pytest.fixture
def packing(line: Line) -> Line:
    line.stages[2] = line.c = Packing("c", "b")
    line.execute()
    return line


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("error", [UnavailableError("no disk"), OSError("gone"), KeyboardInterrupt()])
def test_early_failure_restores_extra_outputs(packing: Line, error: BaseException, changed: bool) -> None:
    before = _packed(packing)
    assert set(before) == {"text", "c.tar", "c.json"}

    def fail(folder: Path) -> None:
        raise error

    packing.c.action = fail
    if changed:
        packing.c.values["text"] = "new"
    with pytest.raises(type(error)):
        packing.execute(force=None if changed else "c")
    assert _packed(packing) == before
    packing.c.values.clear()
    assert packing.plan() == [("reuse", "")] * 3
    assert not list(packing.directory.path.glob(".kept-*"))


@pytest.mark.parametrize("number", range(12))
def test_kill_at_any_step_loses_no_finished_output(packing: Line, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill at the n-th disk operation, the next process finds every finished output."""
    before = _packed(packing)
    packing.c.action = lambda folder: fail_now()

    class KilledError(BaseException):
        pass

    dead = False
    steps = 0

    def fail_now() -> None:
        nonlocal dead
        dead = True
        raise KilledError

    def step(original: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            if dead:  # a dead process cleans nothing up
                raise KilledError
            if steps == number:
                fail_now()
            steps += 1
            return original(*arguments, **options)

        return run

    with monkeypatch.context() as patch:
        for kind, name in (
            (Path, "mkdir"), (Path, "replace"), (Path, "unlink"), (shutil, "rmtree"), (os, "link"),
        ):  # fmt: skip
            patch.setattr(kind, name, step(getattr(kind, name)))
        with pytest.raises(KilledError):
            packing.execute(force="c")
    packing.c.action = lambda folder: None
    packing.execute(until="a")  # the next process, which recovers first
    assert _packed(packing) == before
    assert packing.plan() == [("reuse", "")] * 3


def test_files_of_a_stage_that_failed_while_writing_are_kept(packing: Line) -> None:
    def fail(folder: Path) -> None:
        (folder / "checkpoint").write_text("half way")
        raise UnavailableError("no disk")

    packing.c.action = fail
    with pytest.raises(UnavailableError):
        packing.execute(force="c")
    assert set(_packed(packing)) == {"checkpoint", "c.json"} and packing.status()[2] == "failed"
    assert not list(packing.directory.path.glob(".kept-*"))


def test_failed_gate_of_a_stage_restores_nothing(packing: Line) -> None:
    def fail(folder: Path) -> None:
        raise GateError("not the student")

    packing.c.action = fail
    with pytest.raises(GateError):
        packing.execute(force="c")
    assert set(_packed(packing)) == {"c.json"} and packing.status()[2] == "failed"
    packing.c.action = lambda folder: None
    assert packing.execute() == ["c"]


def test_record_that_cannot_be_written_does_not_hide_the_failure(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line.execute()
    written = RunDirectory.write_record

    def full(self: RunDirectory, record: StageRecord) -> None:
        if record.status == "failed":
            raise UnavailableError("the disk is full")
        written(self, record)

    def fail(folder: Path) -> None:
        (folder / "checkpoint").write_text("half way")
        raise UnavailableError("no room for the checkpoint")

    monkeypatch.setattr(RunDirectory, "write_record", full)
    line.b.action = fail
    with pytest.raises(UnavailableError, match="no room for the checkpoint"):
        line.execute(force="b")
    assert line.plan()[1] == ("continue", "it was interrupted")


def test_interrupted_stage_continues_unless_its_settings_changed(line: Line) -> None:
    def interrupt(folder: Path) -> None:
        (folder / "checkpoint").write_text("half way")
        raise KeyboardInterrupt

    line.b.action = interrupt
    with pytest.raises(KeyboardInterrupt):
        line.execute()
    assert line.status() == ["done", "running", None]
    assert line.plan()[1] == ("continue", "it was interrupted")
    line.b.values["text"] = "changed"
    assert line.plan()[1] == ("run", 'text was not there, is "changed"')
    line.b.action = lambda folder: None if list(folder.iterdir()) == [] else pytest.fail("old files")
    assert line.execute() == ["b", "c"]


@pytest.mark.parametrize(("error", "stays"), [(GateError("too low"), False), (UnavailableError("no disk"), True)])
def test_failed_gate_removes_the_bundle(line: Line, error: Exception, stays: bool) -> None:
    line.execute()
    (line.directory.path / "bundle").mkdir()
    (line.directory.path / "bundle.tar").write_text("")

    def fail(folder: Path) -> None:
        raise error

    line.c.action = fail
    with pytest.raises(type(error)):
        line.execute(force="c")
    assert (line.directory.path / "bundle").exists() is stays and (line.directory.path / "bundle.tar").exists() is stays


def test_extra_outputs_are_part_of_a_stage(line: Line) -> None:
    class Beside(Copying):
        extra_outputs = ("c.tar",)
        local = ("c/place",)

    stage = Beside("c", "b")
    line.stages[2] = line.c = stage
    tar = line.directory.path / "c.tar"

    def write(folder: Path) -> None:
        assert not tar.exists()
        tar.write_text("tar")
        (folder / "place").write_text("here")

    stage.action = write
    line.execute()
    record = line.directory.record("c")
    assert record is not None and set(record.outputs) == {"c/text", "c.tar"}
    (line.directory.path / "c" / "place").unlink()
    assert line.plan()[2][0] == "reuse"
    tar.write_text("other")
    assert line.plan()[2] == ("run", "c.tar was changed")
    assert line.execute() == ["c"] and tar.read_text() == "tar"


def test_stages_finished_in_another_run_are_taken_over(finished_line: Line, tmp_path: Path) -> None:
    line = Line(tmp_path / "run")
    line.a.values, line.b.values = {"text": "x"}, {"text": "other"}
    assert line.execute(donors=[RunDirectory(tmp_path / "nothing"), finished_line.directory]) == ["b", "c"]
    assert line.status() == ["done"] * 3
    assert (line.directory.folder("a") / "text").read_text() == "x"
    assert (line.directory.folder("c") / "text").read_text() == "otherx"
    assert f"a: taken over from {finished_line.directory.path}" in line.out.getvalue()
    assert line.execute(donors=[finished_line.directory]) == []
    assert line.plan() == [("reuse", "")] * 3


def test_adopted_outputs_do_not_depend_on_the_donor(finished_line: Line, tmp_path: Path) -> None:
    line = Line(tmp_path / "run")
    line.a.values = {"text": "x"}
    assert line.execute(donors=[finished_line.directory]) == []
    finished_line.a.values = {"text": "new"}
    finished_line.execute()
    assert (line.directory.folder("a") / "text").read_text() == "x"
    assert line.plan() == [("reuse", "")] * 3


def test_damaged_donors_are_ignored(finished_line: Line, tmp_path: Path) -> None:
    (finished_line.directory.folder("a") / "text").write_text("damaged")
    line = Line(tmp_path / "run")
    line.a.values = {"text": "x"}
    assert line.execute(donors=[finished_line.directory]) == ["a"]  # b and c are whole, and of the same input


def test_forced_stage_is_not_taken_over(finished_line: Line, tmp_path: Path) -> None:
    line = Line(tmp_path / "run")
    line.a.values = {"text": "x"}
    assert line.execute(donors=[finished_line.directory], force="a") == ["a"]


def test_plan_and_each_stage_that_begins_are_reported(line: Line) -> None:
    line.execute(until="a")
    seen: list[Any] = []
    line.execute(
        until="b", ahead=lambda planned: seen.append([(step.stage, step.action) for step in planned]), began=seen.append
    )
    assert seen == [[("a", "reuse"), ("b", "run")], "b"]


def test_seconds_of_a_stage_that_goes_on_include_the_attempt_before(line: Line) -> None:
    def fail(folder: Path) -> None:
        (folder / "begun").write_text("")
        raise UnavailableError("no disk")

    line.b.action = fail
    with pytest.raises(UnavailableError):
        line.execute()
    record = line.directory.record("b")
    assert record is not None
    line.directory.write_record(replace(record, seconds=500.0))
    line.b.action = lambda folder: None
    line.execute()
    record = line.directory.record("b")
    assert record is not None and record.seconds >= 500.0
    assert "500.0 s of them before it was interrupted" in line.out.getvalue()
