import json
from pathlib import Path

from exporters.core.errors import GateError
from exporters.core.files import write_json
from pipeline.recipe.schema.recipe import Recipe
from pipeline.report.outcome import PAGE, outcome, outcome_line
from pipeline.report.page import write
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory


def made(folder: Path) -> RunDirectory:
    """A run directory with a verdict and a bundle."""
    run = RunDirectory(folder)
    for stage in ("data", "validate", "bundle"):
        run.write_record(StageRecord(stage, "done", "f", seconds=2.5))
        run.folder(stage).mkdir()
    chosen = {"validation": {"top1": 0.75}, "test": {"top1": 0.5}}
    write_json(run.folder("validate") / "verdict.json", {"chosen_epoch": 3, "student": {"chosen": chosen}})
    write_json(run.folder("bundle") / "manifest.json", {"parameters": 9, "files": {"model.onnx": {"size": 2_000_000}}})
    return run


def test_shipped_run_has_its_student_and_its_bundle(tmp_path: Path) -> None:
    run = made(tmp_path)
    found = outcome(run, Recipe(name="birds"), ["bundle"])
    assert json.loads(json.dumps(found)) == found
    assert (found["status"], found["exit_code"], found["error"]) == ("shipped", 0, None)
    assert found["bundle"] == str(tmp_path / "bundle") and found["page"] is None
    assert {"stage": "bundle", "status": "done", "seconds": 2.5, "reused": False} in found["stages"]
    assert {"stage": "data", "status": "done", "seconds": 2.5, "reused": True} in found["stages"]
    expected = {"epoch": 3, "validation_top1": 0.75, "test_top1": 0.5, "parameters": 9, "bytes": 2_000_000}
    assert found["student"] == expected
    assert outcome_line(found) == f"birds: shipped {tmp_path / 'bundle'}, test top-1 50.00 %, 2.00 MB"


def test_run_that_fails_or_stops_ships_nothing(tmp_path: Path) -> None:
    run = made(tmp_path)
    (tmp_path / PAGE).touch()
    found = outcome(run, Recipe(), None, GateError("too weak", remedy="Train longer."))
    assert (found["status"], found["exit_code"], found["bundle"]) == ("failed", 3, None)
    assert found["error"] == {"message": "too weak", "remedy": "Train longer."}
    assert found["page"] == str(tmp_path / PAGE) and found["stages"][0]["reused"] is None
    stopped = outcome(run, Recipe(name="birds"), [], whole=False)
    assert stopped["status"] == "stopped" and stopped["bundle"] is None
    assert outcome_line(stopped) == f"birds: stopped as asked, files are in {tmp_path}"


def test_page_has_one_name() -> None:
    assert PAGE == write.PAGE
