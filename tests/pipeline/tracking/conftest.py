"""A run directory as a run leaves it, made without training: recipe, metrics, records, verdict."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.console import Console
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import digest
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.registry import STAGES
from pipeline.tracking.interface import Epoch, TrackedRun
from pipeline.tracking.live import describe

TEACHER = [
    {"loss": 1.5, "loss_ce": 1.5, "lr": 0.1, "validation_top1": 0.25, "time": {"seconds": 2.5, "parts": {"data": 0.5}}},
    {"loss": 0.1 + 0.2, "loss_ce": 1e-7, "lr": 1e-9, "validation_top1": 0.75, "time": {"seconds": 2.25}},
]
STUDENT = [
    {"loss": 2.0 / 3, "loss_ce": 0.5, "loss_feature": 1 / 6, "lr": 0.05, "validation_top1": 0.5,
     "skipped_batches": 1, "skipped": [{"step": 3, "what": "sum"}],
     "time": {"seconds": 4.0, "images_per_second": 812.7, "waiting_for_data": 3.1}},
    {"loss": 0.25, "loss_ce": 0.125, "loss_feature": 0.125, "lr": 0.025, "validation_top1": 0.625,
     "time": {"seconds": 3.5, "images_per_second": 901.2, "waiting_for_data": 0.4}},
]  # fmt: skip
SCORES = {"top1": 0.625, "top5": 1.0, "nll": 0.75, "ece": 0.0625}
VERDICT = {
    "chosen_epoch": 2,
    "student": {
        "chosen": {"validation": SCORES, "test": {**SCORES, "top1": 0.5625}},
        "final": {"validation": SCORES, "test": SCORES},
    },
    "plain": {"validation": SCORES, "test": {**SCORES, "top1": 0.5}},
    "teacher": {"validation": {"fused": 0.875, "oracle": 0.9375, "views": {"rgb": 0.8125}}},
    "gates": [{"key": "validate.min_top1", "bound": 0.5, "measured": 0.625, "passed": True}],
}


def make_recipe(**sections: Any) -> Recipe:
    data = {"dataset": "folder", "root": "photos", "image_size": 32}
    return Recipe.model_validate({"name": "birds", "data": data, "device": "cpu"} | sections)


def tracked_by(*names: str, **keys: Any) -> Recipe:
    return make_recipe(track={"to": [*names], **keys})


class StoredRun:
    """The directory of a run, whose stages are filled in one by one."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.directory = RunDirectory(path)
        self.recipe = recipe
        with self.directory.held():
            (path / "recipe.lock.yaml").write_text(recipe.to_yaml())

    def record(self, name: str, status: Any = "done", **values: Any) -> None:
        """Write the record that a stage has after its work."""
        stage = next(stage for stage in STAGES if stage.name == name)
        inputs = {"code": "of another version", "libraries": "others", "python": "3.11"}
        inputs |= {key: json.dumps(value, sort_keys=True) for key, value in stage.parameters(self.recipe).items()}
        for before in stage.upstream(self.recipe):
            done = self.directory.record(before)
            outputs = done.outputs if done is not None and done.status == "done" else None
            inputs[f"stage {before}"] = digest(outputs)
        outputs = {f"{name}/made": digest(inputs)} if status == "done" else {}
        self.directory.write_record(StageRecord(name, status, digest(inputs), inputs, outputs, 1.0, **values))

    def train(self, training: str, lines: Sequence[Mapping[str, Any]]) -> None:
        for number, line in enumerate(lines, start=1):
            self.directory.log_metrics(training, number, dict(line))

    def finish(self, until: str = "bundle") -> None:
        """Records of every stage up to one, with the figures of teacher and student."""
        for stage in STAGES:
            if stage.skipped(self.recipe) is not None:
                continue
            if stage.name == "teacher":
                self.train("teacher", TEACHER)
            if stage.name == "distill":
                self.train("distill", STUDENT)
            if stage.name == "validate":
                self.write("validate/verdict.json", VERDICT)
            self.record(stage.name)
            if stage.name == until:
                return

    def write(self, name: str, value: Any) -> None:
        path = self.directory.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))

    @property
    def lines(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Training and epoch → the line of `metrics.jsonl`, read without our reader."""
        texts = (self.directory.path / "metrics.jsonl").read_text().splitlines()
        return {(line["stage"], line["epoch"]): line for line in map(json.loads, texts)}

    @property
    def described(self) -> TrackedRun:
        return describe(self.directory, self.recipe)


def written(line: Mapping[str, Any], above: str = "") -> dict[str, float]:
    """The figures of a line by path, by another way than ours."""
    found: dict[str, float] = {}
    for key, value in line.items():
        if isinstance(value, dict):
            found |= written(value, f"{above}{key}/")
        elif key not in ("stage", "epoch") and not isinstance(value, list | str):
            found[f"{above}{key}"] = value
    return found


def expected(run: StoredRun) -> dict[tuple[str, int], float]:
    """Name and epoch → value of every figure that a tracker should have, as `metrics.jsonl` says."""
    return {
        (f"{training}/{name}", epoch): value
        for (training, epoch), line in run.lines.items()
        for name, value in written(line).items()
    }


def epoch(number: int, training: str = "distill", **values: float) -> Epoch:
    return Epoch(training, number, {f"{training}/{name}": value for name, value in values.items()}, f"digest {values}")


@pytest.fixture
def console() -> Console:
    return Console(io.StringIO(), plain=True)


def printed(console: Console) -> str:
    stream = console._rich.file
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()
