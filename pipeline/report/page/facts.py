"""What a run's files say, for its page: of a run that is finished, failed, or was interrupted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from exporters.core.files import read_json
from pipeline.data.index import DataIndex
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import digest
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.registry import STAGES

State = Literal["shipped", "refused", "failed", "unfinished"]


@dataclass(frozen=True)
class Facts:
    """The files of a run, as far as they are there.

    Attributes:
        state: shipped: every stage is done. refused: a gate failed. failed: a stage ended otherwise. unfinished: it
            was interrupted, stopped as asked, or still goes on.
        records: stage → its record, in the order of the stages; those that the recipe skips, that have not begun or
            that are outdated are left out.
        outdated: stages whose record follows from what the stages before them no longer have; their files count as not
            there.
        ended_at: the stage that failed, was interrupted, or would be next; None where all are done.
        index: the data; None before they are indexed.
        verdict, fusion, parity, shipped, benchmark, manifest, environment, race: JSON files of the stages.
        predictions: of `validate/predictions.npz`; empty before.
        trainings: name → its epochs in order, lines of `metrics.jsonl`.
    """

    state: State
    records: Mapping[str, StageRecord]
    outdated: tuple[str, ...]
    ended_at: str | None
    index: DataIndex | None
    verdict: dict[str, Any] | None
    fusion: dict[str, Any] | None
    parity: dict[str, Any] | None
    shipped: dict[str, Any] | None
    benchmark: dict[str, Any] | None
    manifest: dict[str, Any] | None
    environment: dict[str, Any] | None
    race: dict[str, Any] | None
    predictions: Mapping[str, np.ndarray]
    trainings: Mapping[str, list[dict[str, Any]]]

    @property
    def message(self) -> str:
        """Why the run ended where it did; empty where it is done or was interrupted."""
        record = self.records.get(self.ended_at or "")
        return "" if record is None else record.message


def read_facts(run: RunDirectory, recipe: Recipe) -> Facts:
    """Read the files of a run.

    Args:
        run: its directory.
        recipe: its recipe.
    """
    wanted = [stage.name for stage in STAGES if stage.skipped(recipe) is None]
    recorded = {name: record for name in wanted if (record := run.record(name)) is not None}
    records = _up_to_date(recorded)
    ended_at = next((name for name in wanted if name not in records or records[name].status != "done"), None)
    state: State = "shipped"
    if ended_at is not None:
        record = records.get(ended_at)
        failed = record is not None and record.status == "failed"
        state = "unfinished" if not failed else "refused" if record is not None and record.gate else "failed"
    outdated = tuple(name for name in recorded if name not in records)

    def of(stage: str, name: str) -> dict[str, Any] | None:
        return None if stage in outdated else _json(run, f"{stage}/{name}")

    return Facts(
        state=state,
        records=records,
        outdated=outdated,
        ended_at=ended_at,
        index=_index(run),
        verdict=of("validate", "verdict.json"),
        fusion=of("fusion", "accuracy.json"),
        parity=of("parity", "parity.json"),
        shipped=of("parity", "shipped.json"),
        benchmark=of("bundle", "benchmark.json"),
        manifest=of("bundle", "manifest.json"),
        environment=_json(run, "environment.json"),
        race=of("race", "race.json"),
        predictions={} if "validate" in outdated else _predictions(run),
        trainings={name: epochs for name, epochs in _trainings(run).items() if name not in outdated},
    )


def _up_to_date(recorded: Mapping[str, StageRecord]) -> dict[str, StageRecord]:
    """The records that follow from what the stages before them have now.

    Args:
        recorded: every record, in the order of the stages.
    """
    found: dict[str, StageRecord] = {}
    for name, record in recorded.items():
        used = {key.removeprefix("stage "): was for key, was in record.inputs.items() if key.startswith("stage ")}
        if all(was == _outputs_digest(found.get(before)) for before, was in used.items()):
            found[name] = record
    return found


def _outputs_digest(record: StageRecord | None) -> str:
    return digest(record.outputs if record is not None and record.status == "done" else None)


def _json(run: RunDirectory, name: str) -> dict[str, Any] | None:
    try:
        value = read_json(run.path / name)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _index(run: RunDirectory) -> DataIndex | None:
    if not (run.folder("data") / "index.json").is_file():
        return None
    return DataIndex.load(run.folder("data"))


def _predictions(run: RunDirectory) -> dict[str, np.ndarray]:
    path = run.folder("validate") / "predictions.npz"
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _trainings(run: RunDirectory) -> dict[str, list[dict[str, Any]]]:
    """The epochs of each stage that trains, in order; lines that cannot be read are left out."""
    try:
        text = (run.path / "metrics.jsonl").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found: dict[str, list[dict[str, Any]]] = {}
    for line in text.splitlines():
        try:
            values = json.loads(line)
            stage, epoch = str(values["stage"]), {**values, "epoch": int(values["epoch"])}
        except (ValueError, KeyError, TypeError):
            continue
        found.setdefault(stage, []).append(epoch)
    order = [stage.name for stage in STAGES]
    known = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    return {name: sorted(found[name], key=lambda line: line["epoch"]) for name in known}
