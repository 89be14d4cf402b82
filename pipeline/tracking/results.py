"""What a run has come to, as trackers take it: final figures, gates, and how it stands."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from exporters.core.files import read_json
from pipeline.recipe.schema.recipe import Recipe
from pipeline.recipe.schema.track import TrackedFile
from pipeline.runner.fingerprint import digest
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.registry import STAGES
from pipeline.tracking.interface import Results, State
from pipeline.tracking.names import figure_name

FILES: Mapping[TrackedFile, str] = {
    "recipe": "recipe.lock.yaml",
    "report": "report.html",
    "model": "bundle/model.onnx",
    "bundle": "bundle.tar",
}
"""What `track.artifacts` may name → where it is in a run directory."""

_NOT_SETTINGS = frozenset({"code", "libraries", "python", "version"})
"""Parts of a record's inputs that are of the installation."""
_SCORES = ("top1", "top5", "nll", "ece")
_PARITY = ("max_scaled_error", "top1_agreement", "accuracy_drop")
_SPEED = ("p50_ms", "p95_ms", "images_per_second")


def standing_records(run: RunDirectory, recipe: Recipe) -> dict[str, StageRecord]:
    """The records of stages that follow from the recipe and from what the stages before them have now.

    Code and libraries may have changed since: figures of an earlier version are figures still.
    """
    found: dict[str, StageRecord] = {}
    for stage in STAGES:
        record = run.record(stage.name) if stage.skipped(recipe) is None else None
        if record is None:
            continue
        now = {key: json.dumps(value, sort_keys=True) for key, value in stage.parameters(recipe).items()}
        then = {key: value for key, value in record.inputs.items() if not key.startswith(("file ", "stage "))}
        before = {key.removeprefix("stage "): value for key, value in record.inputs.items() if key.startswith("stage ")}
        if _settings(then) == _settings(now) and all(
            value == _outputs(found.get(name)) for name, value in before.items()
        ):
            found[stage.name] = record
    return found


def _settings(parts: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in parts.items() if key not in _NOT_SETTINGS}


def _outputs(record: StageRecord | None) -> str:
    return digest(record.outputs if record is not None and record.status == "done" else None)


def read_results(
    run: RunDirectory,
    recipe: Recipe,
    records: Mapping[str, StageRecord],
    until: str | None = None,
) -> Results:
    """What a run has come to.

    Args:
        run: its directory.
        recipe: its recipe.
        records: of `standing_records`.
        until: the stage that it was to stop after; None: the last.
    """
    state, message = _state(recipe, records, until)
    files = {FILES[name]: run.path / FILES[name] for name in recipe.track.artifacts}
    return Results(
        state=state,
        message=message,
        values=dict(_values(run, records)),
        files={Path(name).name: path for name, path in files.items() if path.is_file()},
    )


def _state(recipe: Recipe, records: Mapping[str, StageRecord], until: str | None) -> tuple[State, str]:
    wanted = [stage.name for stage in STAGES if stage.skipped(recipe) is None]
    names = [stage.name for stage in STAGES]
    asked = [name for name in wanted if until is None or names.index(name) <= names.index(until)]
    ended = next((name for name in asked if name not in records or records[name].status != "done"), None)
    if ended is None:
        return ("shipped" if asked == wanted else "finished"), ""
    record = records.get(ended)
    if record is None or record.status != "failed":
        return "unfinished", ""
    return ("refused" if record.gate else "failed"), f"{ended}: {record.message}"


def _values(run: RunDirectory, records: Mapping[str, StageRecord]) -> Iterator[tuple[str, float]]:
    if "validate" in records:
        verdict = _json(run, "validate/verdict.json")
        yield from _accuracies(verdict)
        yield from _gates(verdict.get("gates", []))
    if "parity" in records:
        for artifact, proof in _json(run, "parity/parity.json").items():
            yield from _numbers(_section(proof, "whole"), _PARITY, "parity", artifact)
    if "bundle" in records:
        yield from _gates(records["bundle"].summary.get("gates", []))
        for name, runtime in _section(_json(run, "bundle/benchmark.json"), "runtimes").items():
            yield from _numbers(runtime, _SPEED, "benchmark", name)
        model = run.path / FILES["model"]
        if model.is_file():
            yield figure_name("student", "bytes"), float(model.stat().st_size)


def _accuracies(verdict: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    students = _section(verdict, "student")
    scores = {
        "student": _section(students, "chosen"),
        "student last epoch": _section(students, "final"),
        "plain": _section(verdict, "plain"),
        "base": _section(verdict, "base"),
    }
    yield from _numbers(verdict, ("chosen_epoch",), "student")
    for split in ("validation", "test"):
        for name, by_split in scores.items():
            yield from _numbers(_section(by_split, split), _SCORES, name, split)
        teacher = _section(_section(verdict, "teacher"), split)
        yield from _numbers(teacher, ("fused", "oracle"), "teacher", split)
        views = _section(teacher, "views")
        yield from _numbers(views, tuple(views), "teacher", split, "views")


def _gates(gates: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    for gate in gates:
        yield from _numbers(gate, ("measured", "bound"), "gates", gate["key"])
        yield figure_name("gates", gate["key"], "passed"), float(gate["passed"])


def _numbers(values: Mapping[str, Any], keys: Sequence[str], *under: str) -> Iterator[tuple[str, float]]:
    for key in keys:
        value = values.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield figure_name(*under, key), float(value)


def _section(values: Any, key: str) -> Mapping[str, Any]:
    value = values.get(key) if isinstance(values, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _json(run: RunDirectory, name: str) -> dict[str, Any]:
    try:
        value = read_json(run.path / name)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
