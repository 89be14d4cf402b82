"""The engine over stages of a few lines: decisions, reasons and records."""

import io
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from exporters.core.errors import GateError, UnavailableError, UsageError
from pipeline.console import Console
from pipeline.preflight import Preflight
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.engine import execute, plan
from pipeline.runner.rundir import RunDirectory, StageRecord
from pipeline.runner.stage import Stage, StageContext, settings

RECIPE = Recipe()


class Copying(Stage):
    """Writes what it was set to and all that the stages before it wrote."""

    libraries = ("numpy",)

    def __init__(self, name: str, *before: str) -> None:
        self.name = name  # type: ignore[misc]
        self.before = before
        self.values: dict[str, Any] = {}
        self.outside: dict[str, str] = {}
        self.reason: str | None = None
        self.action: Callable[[Path], None] = lambda folder: None
        self.runs = 0

    def skipped(self, recipe: Recipe) -> str | None:
        return self.reason

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        return self.before

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        return self.values

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        return self.outside

    def run(self, context: StageContext) -> dict[str, Any]:
        self.runs += 1
        folder = self.folder(context)
        read = [(context.run.folder(name) / "text").read_text() for name in self.before]
        self.action(folder)
        (folder / "text").write_text(f"{self.values.get('text', '')}{''.join(read)}")
        return {"runs": self.runs}


class Line:
    """Three stages in a line, on a directory."""

    def __init__(self, path: Path) -> None:
        self.stages = [Copying("a"), Copying("b", "a"), Copying("c", "b")]
        self.a, self.b, self.c = self.stages
        self.directory = RunDirectory(path)
        self.out = io.StringIO()

    def execute(self, **options: Any) -> list[str]:
        """The names of the stages that ran."""
        before = [stage.runs for stage in self.stages]
        try:
            execute(self.stages, RECIPE, self.directory, Console(self.out, plain=True), Preflight, **options)
        finally:
            ran = [stage.name for stage, count in zip(self.stages, before, strict=True) if stage.runs > count]
        return ran

    def plan(self, **options: Any) -> list[tuple[str, str]]:
        planned = plan(self.stages, RECIPE, self.directory, **options)
        assert [step.stage for step in planned] == ["a", "b", "c"]
        return [(step.action, "; ".join(step.why)) for step in planned]

    def status(self) -> list[str | None]:
        records = [self.directory.record(stage.name) for stage in self.stages]
        return [record.status if record else None for record in records]


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path / "run")


def test_a_plan_of_nothing_writes_nothing(line: Line) -> None:
    assert line.plan() == [("run", "it has not run yet")] * 3
    assert not line.directory.path.exists()


def test_everything_runs_once(line: Line) -> None:
    assert line.execute() == ["a", "b", "c"]
    assert line.plan() == [("reuse", "")] * 3
    assert line.execute() == []
    assert line.out.getvalue().count("reused") == 3
    record = line.directory.record("b")
    assert record is not None and record.summary == {"runs": 1} and set(record.outputs) == {"b/text"}
    assert set(record.inputs) == {"code", "libraries", "python", "stage a"}


def test_the_content_of_outputs_decides_what_follows(line: Line) -> None:
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


def test_a_stage_behind_others_tells_its_own_reasons(line: Line) -> None:
    line.execute()
    line.a.values["text"], line.c.values["text"] = "a", "c"
    assert [action for action, _ in line.plan()] == ["run", "wait", "run"]
    assert line.plan()[2] == ("run", 'text was not there, is "c"')
    (line.directory.path / "b" / "text").unlink()
    assert line.plan()[1] == ("run", "b/text is missing")


def test_files_outside_and_the_stages_before_are_named(line: Line) -> None:
    line.b.outside["weights.pt"] = "1"
    line.execute()
    line.b.outside["weights.pt"] = "2"
    assert line.plan()[1] == ("run", "weights.pt changed")
    line.a.values["text"] = "new"
    line.execute(until="a")
    assert line.plan()[1] == ("run", "weights.pt changed; a changed")


def test_force_and_until(line: Line) -> None:
    assert line.execute(until="b") == ["a", "b"] and line.status() == ["done", "done", None]
    assert line.plan(force="a") == [
        ("run", "forced"), ("wait", "is reused if a gives the same files"), ("run", "it has not run yet")
    ]  # fmt: skip
    assert line.execute(force="a") == ["a", "c"]


def test_a_skipped_stage_has_a_record_and_is_no_obstacle(line: Line) -> None:
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


def test_a_stage_that_was_never_needed_is_recorded_as_skipped(line: Line) -> None:
    line.a.reason = "not needed"
    line.b.before = ()
    line.execute()
    record = line.directory.record("a")
    assert record is not None and (record.status, record.message) == ("skipped", "not needed")
    line.a.reason = None
    assert line.plan()[0] == ("run", "it has not run yet")


def test_forcing_what_is_not_reached_is_refused(line: Line) -> None:
    with pytest.raises(UsageError, match="--force c: the run stops before, at --until b"):
        line.execute(force="c", until="b")
    line.a.reason = "not needed"
    with pytest.raises(UsageError, match="--force a: the recipe has no need"):
        line.execute(force="a")


def test_a_failure_is_recorded_and_its_files_are_kept_for_the_next_attempt(line: Line) -> None:
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


def test_a_failure_before_any_work_costs_nothing_that_was_finished(line: Line) -> None:
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
    """A stage with an output beside its folder, as `bundle` has."""

    beside = ("c.tar",)

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
def test_early_failure_brings_back_outputs_beside_the_folder(
    packing: Line, error: BaseException, changed: bool
) -> None:
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
    """The process ends at its n-th step on the disk: nothing of it runs any more, and the next process finds all."""
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


def test_stage_that_had_begun_to_write_is_not_undone(packing: Line) -> None:
    def fail(folder: Path) -> None:
        (folder / "checkpoint").write_text("half way")
        raise UnavailableError("no disk")

    packing.c.action = fail
    with pytest.raises(UnavailableError):
        packing.execute(force="c")
    assert set(_packed(packing)) == {"checkpoint", "c.json"} and packing.status()[2] == "failed"
    assert not list(packing.directory.path.glob(".kept-*"))


def test_gate_that_fails_in_the_stage_itself_brings_nothing_back(packing: Line) -> None:
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


def test_an_error_without_a_message_can_be_planned_after(line: Line) -> None:
    def fail(folder: Path) -> None:
        raise RuntimeError

    line.b.action = fail
    with pytest.raises(RuntimeError):
        line.execute()
    assert line.plan()[1] == ("continue", "it failed: RuntimeError")


def test_an_interruption_goes_on_and_a_change_starts_over(line: Line) -> None:
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
def test_a_gate_that_fails_withdraws_the_bundle(line: Line, error: Exception, stays: bool) -> None:
    line.execute()
    (line.directory.path / "bundle").mkdir()
    (line.directory.path / "bundle.tar").write_text("")

    def fail(folder: Path) -> None:
        raise error

    line.c.action = fail
    with pytest.raises(type(error)):
        line.execute(force="c")
    assert (line.directory.path / "bundle").exists() is stays and (line.directory.path / "bundle.tar").exists() is stays


def test_outputs_beside_the_folder_are_part_of_a_stage(line: Line) -> None:
    class Beside(Copying):
        beside = ("c.tar",)
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


def test_the_code_of_modules_reached_by_name_counts(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line.execute()
    monkeypatch.setattr(Copying, "modules", lambda self, recipe: ("pipeline.randomness",))
    assert line.plan() == [("run", "its code changed")] * 3
    monkeypatch.undo()
    monkeypatch.setattr(Copying, "libraries", ())
    assert {why for _, why in line.plan()} == {"a library changed"}


def test_settings_are_flattened_to_dotted_keys() -> None:
    found = settings(RECIPE, "data.image_size", "train.schedule", "distill.views")
    assert found["data.image_size"] == 224
    assert found["train.schedule.kind"] == "cosine" and found["train.schedule.milestones"] == []
    assert found["distill.views.edge.strength"] == 0.25
    assert not [key for key in found if isinstance(found[key], dict) and found[key]]
    bare = Recipe.model_validate({"distill": {"views": {"edge": None, "high_frequency": None}}})
    assert settings(bare, "distill.views") == {"distill.views": {}}
    with pytest.raises(KeyError):
        settings(RECIPE, "data.colour")


@pytest.fixture
def finished_line(tmp_path: Path) -> Line:
    line = Line(tmp_path / "donor")
    line.a.values = {"text": "x"}
    line.execute()
    return line


def test_what_another_run_has_finished_is_taken_over(finished_line: Line, tmp_path: Path) -> None:
    line = Line(tmp_path / "run")
    line.a.values, line.b.values = {"text": "x"}, {"text": "other"}
    assert line.execute(donors=[RunDirectory(tmp_path / "nothing"), finished_line.directory]) == ["b", "c"]
    assert line.status() == ["done"] * 3
    assert (line.directory.folder("a") / "text").read_text() == "x"
    assert (line.directory.folder("c") / "text").read_text() == "otherx"
    assert f"a: taken over from {finished_line.directory.path}" in line.out.getvalue()
    assert line.execute(donors=[finished_line.directory]) == []
    assert line.plan() == [("reuse", "")] * 3


def test_a_run_that_took_over_does_not_depend_on_the_donor(finished_line: Line, tmp_path: Path) -> None:
    line = Line(tmp_path / "run")
    line.a.values = {"text": "x"}
    assert line.execute(donors=[finished_line.directory]) == []
    finished_line.a.values = {"text": "new"}
    finished_line.execute()
    assert (line.directory.folder("a") / "text").read_text() == "x"
    assert line.plan() == [("reuse", "")] * 3


def test_damaged_or_unfinished_donors_are_passed_over(finished_line: Line, tmp_path: Path) -> None:
    (finished_line.directory.folder("a") / "text").write_text("damaged")
    line = Line(tmp_path / "run")
    line.a.values = {"text": "x"}
    assert line.execute(donors=[finished_line.directory]) == ["a"]  # b and c are whole, and of the same input


def test_a_forced_stage_is_not_taken_over(finished_line: Line, tmp_path: Path) -> None:
    line = Line(tmp_path / "run")
    line.a.values = {"text": "x"}
    assert line.execute(donors=[finished_line.directory], force="a") == ["a"]


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

    def test_same_inputs_fail_again_and_nothing_behind_is_reached(self, failed: Line) -> None:
        expected = [
            ("reuse", ""),
            ("fail", "runs again, and fails again: nothing that it follows from has changed; b is too weak;"
                     " Train longer."),
            ("wait", "is not reached while b fails"),
        ]  # fmt: skip
        assert failed.plan() == failed.plan(force="b") == failed.plan(force="c") == expected
        with pytest.raises(GateError):
            failed.execute()

    def test_changed_settings_run_it_again(self, failed: Line) -> None:
        failed.b.values["text"] = "better"
        failed.b.action = lambda folder: None
        assert failed.plan()[1] == ("run", 'text was "worse", is "better"')
        assert failed.plan()[2][0] == "wait"
        assert failed.execute() == ["b", "c"]

    def test_stage_before_it_that_runs_again_decides(self, failed: Line) -> None:
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
