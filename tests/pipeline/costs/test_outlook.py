import io
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from exporters.core.files import write_text
from pipeline.console import Console
from pipeline.costs import estimate, outlook
from pipeline.costs.counts import Counts
from pipeline.costs.estimate import Estimate, StageCost
from pipeline.costs.outlook import Outlook, in_words, show_outlook
from pipeline.costs.seconds import Seconds
from pipeline.runner.planning import PlannedStage
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.costs.recipes import small_recipe
from tests.pipeline.costs.test_estimate import COUNTS, PRICES

PLANNED = [
    PlannedStage("data", "reuse", ()),
    PlannedStage("teacher", "run", ("forced",)),
    PlannedStage("race", "skip", ("no race",)),
    PlannedStage("distill", "wait", ("is reused if teacher gives the same files",)),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run directory in which both stages were done under the recipe."""
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    write_text(run.path / "recipe.lock.yaml", small_recipe(tmp_path).to_yaml())
    for stage, seconds in (("teacher", 60.0), ("distill", 120.0)):
        run.write_record(StageRecord(stage, "done", "x", seconds=seconds))
    monkeypatch.setattr("pipeline.costs.counts.saved_index", lambda _run, *, usable: object() if usable else None)
    monkeypatch.setattr("pipeline.costs.counts.counts_of_index", lambda _index: COUNTS)
    return run


def look(recipe: object, run: RunDirectory, trial: bool = True) -> Outlook:
    return outlook.outlook(recipe, run, PLANNED, Console(io.StringIO()), trial=trial)  # type: ignore[arg-type]


def test_stages_that_were_measured_here_need_no_trial(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "estimate_run", lambda *_: pytest.fail("networks were tried"))
    ahead = look(small_recipe(tmp_path), run)
    assert {name: cost.seconds.wall for name, cost in ahead.costs.items()} == {"teacher": 60.0, "distill": 120.0}
    assert ahead.basis == "as long as they took here before"


def test_other_work_is_tried_and_only_what_is_ahead_is_counted(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def estimated(_recipe: object, _run: object, planned: object, *, quick: bool) -> Estimate:
        tried.append((planned, quick))
        costs = (StageCost("data", Seconds(), 0, "reused"), StageCost("distill", Seconds(600.0), 10**9, "probe"))
        return Estimate(costs, Counts(1, 1, 1, 2), PRICES)

    monkeypatch.setattr(estimate, "estimate_run", estimated)
    recipe = small_recipe(tmp_path, "train.epochs=20")
    ahead = look(recipe, run)
    assert tried == [(PLANNED, True)] and set(ahead.costs) == {"distill"} and "a trial of 0 s" in ahead.basis
    assert look(small_recipe(tmp_path, "train.epochs=20", "train.compile=true"), run).basis.endswith(
        "compiling (train.compile) takes minutes more at first"
    )
    tried.pop()
    assert look(recipe, run, trial=False) == Outlook(tuple(PLANNED), {}, "") and len(tried) == 1


def test_seconds_of_another_runtime_or_of_a_compiled_network_are_not_taken(run: RunDirectory, tmp_path: Path) -> None:
    assert look(small_recipe(tmp_path), run, trial=False).costs
    for override in ("teacher.runtime=compile", "teacher.runtime=eager", "train.compile=true"):
        assert not look(small_recipe(tmp_path, override), run, trial=False).costs


def test_what_cannot_be_estimated_is_left_to_the_checks(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def estimated(*_: object, **__: object) -> Estimate:
        raise UnavailableError("no data")

    monkeypatch.setattr(estimate, "estimate_run", estimated)
    assert look(small_recipe(tmp_path, "train.epochs=20"), run).costs == {}


def test_plan_names_what_is_reused_and_sums_the_rest() -> None:
    out = io.StringIO()
    costs = {
        "teacher": StageCost("teacher", Seconds(60.0), 2 * 10**9, "probe"),
        "distill": StageCost("distill", Seconds(3000.0), 10**9, "probe"),
    }
    show_outlook(Outlook(tuple(PLANNED), costs, "estimated by a trial of 2 s"), "x: the plan", Console(out))
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.getvalue().splitlines()]
    assert ["teacher", "run", "forced", "1.0", "2.0"] in rows
    assert ["distill", "wait", "is reused if teacher gives the same files", "50", "1.0"] in rows
    assert not any(row[0] == "race" for row in rows)
    assert out.getvalue().splitlines()[-2:] == [
        "reused: data", "about 51 minutes and at most 3.00 GB of disk, estimated by a trial of 2 s"
    ]  # fmt: skip


def test_finished_run_is_a_line() -> None:
    out = io.StringIO()
    show_outlook(Outlook((PLANNED[0], PLANNED[2]), {}, ""), "x", Console(out))
    assert out.getvalue() == "plan: all 1 stages are reused\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 second"), (40, "40 seconds"), (720, "12 minutes"), (19_800, "5.5 hours"), (276_480, "3.2 days")],
)
def test_times_are_said_as_people_do(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
