"""The command `plan`."""

import json
import re

import pytest

from tests.pipeline.conftest import Run, run_command, set_


def test_plan_shows_a_table(run: Run) -> None:
    outcome = run_command("plan", run.recipe, "--run-dir", run.directory, *set_({"train.epochs": 3}))
    assert outcome.code == 0
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in outcome.out.splitlines()]
    assert ["data", "reuse", ""] in rows
    assert ["distill", "run", "train.epochs was 2, is 3"] in rows
    assert ["validate", "wait", "is reused if distill gives the same files"] in rows
    forced = run_command("plan", run.recipe, "--run-dir", run.directory, "--force", "text")
    assert "forced" in forced.out


def test_plan_names_three_changes_and_all_under_verbose(run: Run) -> None:
    arguments = ("plan", run.recipe, "--run-dir", run.directory, *set_({"distill.method": "ce"}))
    outcome = run_command(*arguments)
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("│ distill")]
    assert 'distill.method was "tmkd", is "ce"; ' in line
    assert re.search(r"and \d+ more \(`plan --verbose`\)", " ".join(outcome.out.replace("│", " ").split()))
    assert max(map(len, outcome.out.splitlines())) <= 120
    verbose = run_command(*arguments, "--verbose").out
    reasons = verbose[verbose.index("│ distill") : verbose.index("│ validate")]
    assert len(reasons.splitlines()) > 10 and "more (" not in reasons


def test_finished_run_is_not_tried(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.costs.estimate.estimate_run", lambda *_: pytest.fail("networks were tried"))
    outcome = run_command("plan", run.recipe, "--run-dir", run.directory, "--cost")
    assert outcome.code == 0 and outcome.out.endswith("nothing is left to be done, so that nothing is tried\n")
    found = json.loads(run_command("plan", run.recipe, "--run-dir", run.directory, "--cost", "--json").out)
    assert {each["seconds"] for each in found["cost"].values()} == {0.0} and "distill" in found["cost"]


def test_plan_estimates_what_is_still_to_be_done(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.costs.probe.LONGEST", 0.0)
    arguments = ("plan", run.recipe, "--run-dir", run.directory, "--cost", *set_({"train.epochs": 3}))
    before = sorted(path for path in run.directory.rglob("*"))
    outcome = run_command(*arguments)
    assert outcome.code == 0
    table = outcome.out[outcome.out.index("Estimated for 48 training, 12 validation and 24 test images") :]
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in table.splitlines()]
    stages = [row[0] for row in rows if len(row) == 5]
    assert stages[0] == "distill" and "data" not in stages and stages[-1] == "all"
    assert sorted(path for path in run.directory.rglob("*")) == before
