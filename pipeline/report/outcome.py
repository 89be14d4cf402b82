"""What a run did, for machines."""

from collections.abc import Collection
from typing import Any

from exporters.core.errors import TmkdError
from exporters.core.files import read_json
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.registry import STAGES

PAGE, BUNDLE = "report.html", "bundle"


def outcome(
    run: RunDirectory,
    recipe: Recipe,
    ran: Collection[str] | None,
    error: TmkdError | None = None,
    *,
    whole: bool = True,
) -> dict[str, Any]:
    """A run in a JSON object.

    Args:
        run: its directory.
        recipe: its recipe.
        ran: the stages that ran, the others were reused; None where the run ended by an error.
        error: that ended it.
        whole: whether it was to go to its last stage.

    Returns:
        {"recipe", "run_directory", "status": "shipped" | "stopped" | "failed", "exit_code", "error": {"message",
        "remedy"} or None, "stages": [{"stage", "status", "seconds", "reused"}], "student": {"validation_top1",
        "test_top1", "epoch", "parameters", "bytes"} or None, "bundle" and "page": paths or None};
        `seconds` of a stage that was reused are those of when it ran, `reused` is None where the run failed.
    """
    bundle, page = run.folder(BUNDLE), run.path / PAGE
    last = run.record(STAGES[-1].name)
    shipped = whole and error is None and last is not None and last.status == "done"
    return {
        "recipe": recipe.name,
        "run_directory": str(run.path),
        "status": "failed" if error is not None else "shipped" if shipped else "stopped",
        "exit_code": 0 if error is None else error.exit_code,
        "error": None if error is None else {"message": error.message, "remedy": error.remedy},
        "stages": _stages(run, recipe, ran),
        "student": _student(run, shipped),
        "bundle": str(bundle) if shipped else None,
        "page": str(page) if page.is_file() else None,
    }


def outcome_line(found: dict[str, Any]) -> str:
    """The outcome of a run that did not fail, in a line for a script's log."""
    student = found["student"]
    if found["status"] != "shipped" or student is None:
        return f"{found['recipe']}: stopped as asked, files are in {found['run_directory']}"
    return (
        f"{found['recipe']}: shipped {found['bundle']}, test top-1 {100 * student['test_top1']:.2f} %,"
        f" {student['bytes'] / 1e6:.2f} MB"
    )


def _stages(run: RunDirectory, recipe: Recipe, ran: Collection[str] | None) -> list[dict[str, Any]]:
    found = []
    for stage in STAGES:
        record = run.record(stage.name)
        if record is None or stage.skipped(recipe) is not None:
            continue
        reused = None if ran is None else record.status == "done" and stage.name not in ran
        found.append({"stage": stage.name, "status": record.status, "seconds": record.seconds, "reused": reused})
    return found


def _student(run: RunDirectory, shipped: bool) -> dict[str, Any] | None:
    """The student's accuracy, and the size of its file where it ships; None before the verdict."""
    record = run.record("validate")
    path = run.folder("validate") / "verdict.json"
    if record is None or record.status not in ("done", "failed") or not path.is_file():
        return None
    verdict = read_json(path)
    chosen = verdict["student"]["chosen"]
    found = {
        "epoch": verdict["chosen_epoch"],
        "validation_top1": chosen["validation"]["top1"],
        "test_top1": chosen["test"]["top1"],
        "parameters": None,
        "bytes": None,
    }
    if shipped:
        manifest = read_json(run.folder(BUNDLE) / "manifest.json")
        found |= {"parameters": manifest["parameters"], "bytes": manifest["files"]["model.onnx"]["size"]}
    return found
