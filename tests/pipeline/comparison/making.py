"""Folders of comparisons as runs leave them, made without training; the networks themselves are not there."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from exporters.core.files import write_json
from pipeline.comparison.planned import Planned, PlannedArm, run_name
from pipeline.data.index import DataIndex, IndexedSplit
from pipeline.data.path_table import PathTable
from pipeline.evaluation.metrics import score
from pipeline.evaluation.probabilities import log_probabilities
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.conftest import write_recipe

CLASSES = ("ant", "bee", "cow")
PARTS = {"data": 0.5, "forward": 1.25, "backward": 2.0}
CPU = 5.0
"""Seconds of an epoch."""
EPOCHS = 3


def make_folder(
    folder: Path,
    arms: Sequence[str] = ("ce", "kd", "tmkd on kd"),
    seeds: Sequence[int] = (0, 1),
    classes: Sequence[str] = CLASSES,
    images: int = 60,
    missing: Sequence[tuple[str, int]] = (),
    corruptions: bool = False,
) -> Planned:
    """A comparison; the first arm is `ce`, and the reference of the others.

    Args:
        folder: is made.
        arms: names.
        seeds: of each.
        classes: names.
        images: of the test split.
        missing: arm and seed of runs that have not begun.
        corruptions: whether corrupted images were measured.
    """
    plan = Planned(
        "tiny",
        "ab" * 32,
        "tmkd-pipeline compare tiny.yaml",
        "folder",
        tuple(seeds),
        tuple(
            PlannedArm(
                name,
                name.partition(" ")[0],
                None,
                {"distill.method": name.partition(" ")[0]},
                reference="ce" if name != "ce" and "ce" in arms else None,
                ablates=None,
            )
            for name in arms
        ),
    )
    folder.mkdir(parents=True)
    plan.write(folder)
    index = _data(folder / "images", classes, images)
    for number, arm in enumerate(arms):
        for seed in seeds:
            if (arm, seed) not in missing:
                _run(RunDirectory(folder / run_name(arm, seed)), index, number, seed, corruptions)
    return plan


def _data(root: Path, classes: Sequence[str], images: int) -> DataIndex:
    root.mkdir()
    splits = {}
    for name, count in (("train", 48), ("validation", 30), ("test", images)):
        labels = np.arange(count) % len(classes)
        paths = [f"{name}{number}.png" for number in range(count)]
        if name == "test":
            for number, path in enumerate(paths):
                colour = tuple(int(value) for value in np.random.default_rng(number).integers(0, 256, 3))
                Image.new("RGB", (16, 16), colour).save(root / path)
        sizes = np.full((count, 2), 16, dtype=np.int32)
        splits[name] = IndexedSplit(PathTable.of(paths), labels, np.zeros((count, 32), np.uint8), sizes)
    return DataIndex(root, list(classes), splits)  # type: ignore[arg-type]


def _run(run: RunDirectory, index: DataIndex, arm: int, seed: int, corruptions: bool) -> None:
    run.path.mkdir(parents=True)
    write_recipe(run.path / "recipe.lock.yaml", index.root)
    for stage in ("data", "distill", "validate"):
        run.write_record(StageRecord(stage, "done", "0", seconds=2.0, summary={"images_per_second": 100.0 + 10 * arm}))
    run.folder("data").mkdir()
    index.save(run.folder("data"))
    students: dict[str, Any] = {}
    predictions: dict[str, np.ndarray] = {}
    for which in ("chosen", "final"):
        students[which] = {}
        for split in ("validation", "test"):
            labels = index.splits[split].labels  # type: ignore[index]
            random = np.random.default_rng([arm, seed, ("chosen", "final").index(which), len(labels)])
            logits = random.normal(size=(len(labels), len(index.classes)))
            logits[np.arange(len(labels)), labels] += 1.2 + 0.15 * arm
            students[which][split] = score(logits.astype(np.float32), labels)
            predictions[f"{which}.{split}"] = logits.argmax(axis=1).astype(np.int32)
            predictions[f"confidence.{which}.{split}"] = np.exp(log_probabilities(logits).max(axis=1)).astype(
                np.float32
            )
            predictions[f"labels.{split}"] = labels.astype(np.int32)
    measured = {"blur": {"1": 0.6, "3": 0.5, "5": 0.2 + 0.05 * arm}, "jpeg": {"1": 0.7, "3": 0.6, "5": 0.3}}
    write_json(
        run.folder("validate") / "verdict.json",
        {
            "student": students,
            "teacher": None,
            "chosen_epoch": 2,
            "corruptions": {"images": 60, "mean_top1": 0.5, "top1": measured} if corruptions else None,
        },
    )
    np.savez(run.folder("validate") / "predictions.npz", **predictions)  # type: ignore[arg-type]
    (run.path / "metrics.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "stage": "distill",
                    "epoch": epoch,
                    "loss": 2.0 / epoch + 0.1 * arm,
                    "validation_top1": 0.2 * epoch + 0.02 * arm + 0.01 * seed,
                    "time": {"parts": PARTS, "seconds": sum(PARTS.values()), "cpu_seconds": CPU},
                }
            )
            + "\n"
            for epoch in range(1, EPOCHS + 1)
        )
    )
