from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.core.files import write_json
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.report.page.facts import read_facts
from pipeline.runner.fingerprint import digest
from pipeline.runner.record import StageRecord, Status
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.registry import STAGES

Recorded = Callable[..., RunDirectory]


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("quickstart").recipe


@pytest.fixture
def recorded(tmp_path: Path, recipe: Recipe) -> Recorded:
    """A run directory of records alone: all done, but for some."""

    def make(until: str | None = None, **statuses: tuple[Status, bool]) -> RunDirectory:
        run = RunDirectory(tmp_path / "run")
        for stage in STAGES:
            if stage.skipped(recipe) is None:
                status, gate = statuses.get(stage.name, ("done", False))
                run.write_record(StageRecord(stage.name, status, "0", message="because", gate=gate))
            if stage.name == until:
                break
        return run

    return make


def test_run_whose_stages_are_all_done_has_shipped(recorded: Recorded, recipe: Recipe) -> None:
    facts = read_facts(recorded(), recipe)
    assert (facts.state, facts.ended_at, facts.message) == ("shipped", None, "")


def test_failed_gate_is_a_refusal_and_any_other_failure_is_not(recorded: Recorded, recipe: Recipe) -> None:
    facts = read_facts(recorded("validate", validate=("failed", True)), recipe)
    assert (facts.state, facts.ended_at, facts.message) == ("refused", "validate", "because")
    facts = read_facts(recorded("validate", validate=("failed", False)), recipe)
    assert (facts.state, facts.ended_at) == ("failed", "validate")


@pytest.mark.parametrize("status", ["running", "done"])
def test_interrupted_run_is_not_finished(recorded: Recorded, recipe: Recipe, status: Status) -> None:
    facts = read_facts(recorded("distill", distill=(status, False)), recipe)
    assert facts.state == "unfinished"
    assert facts.ended_at == ("distill" if status == "running" else "reference")


def test_what_follows_from_other_data_than_now_counts_as_not_there(recorded: Recorded, recipe: Recipe) -> None:
    run = recorded()
    old, new = {"data/index.json": "0"}, {"data/index.json": "1"}
    run.write_record(StageRecord("data", "done", "0", outputs=new))
    for name, before, outputs in (("validate", "data", old), ("export", "validate", {}), ("teacher", "data", new)):
        run.write_record(StageRecord(name, "done", "0", inputs={f"stage {before}": digest(outputs)}))
    run.folder("validate").mkdir()
    write_json(run.folder("validate") / "verdict.json", {"student": {}})
    (run.path / "metrics.jsonl").write_text('{"stage": "teacher", "epoch": 1}\n{"stage": "validate", "epoch": 1}\n')
    facts = read_facts(run, recipe)
    assert facts.outdated == ("validate", "export")
    assert (facts.state, facts.ended_at, facts.verdict, facts.predictions) == ("unfinished", "validate", None, {})
    assert "teacher" in facts.records and list(facts.trainings) == ["teacher"]


def test_lines_of_metrics_that_cannot_be_read_are_left_out(recorded: Recorded, recipe: Recipe) -> None:
    run = recorded()
    (run.path / "metrics.jsonl").write_text(
        '{"stage": "distill", "epoch": 2, "loss": 1.0}\n{"stage": "dist\n[1]\n'
        '{"epoch": 3}\n{"stage": "x", "epoch": "y"}\n'
        '{"stage": "distill", "epoch": 1, "loss": 2.0}\n{"stage": "teacher", "epoch": 1, "loss": 3.0}'
    )
    trainings = read_facts(run, recipe).trainings
    assert list(trainings) == ["teacher", "distill"]
    assert [line["epoch"] for line in trainings["distill"]] == [1, 2]


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff"])
def test_files_that_cannot_be_read_are_as_if_not_there(recorded: Recorded, recipe: Recipe, content: str) -> None:
    run = recorded()
    run.folder("validate").mkdir()
    (run.folder("validate") / "verdict.json").write_text(content, encoding="latin-1")
    assert read_facts(run, recipe).verdict is None
