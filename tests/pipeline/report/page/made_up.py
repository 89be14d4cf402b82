"""Facts of runs that never were: what a page is made of, without training anything."""

from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.data.index import DataIndex, IndexedSplit
from pipeline.data.path_table import PathTable
from pipeline.evaluation.metrics import per_class_accuracy, score
from pipeline.report.page.facts import Facts
from pipeline.runner.record import StageRecord
from pipeline.stages.registry import STAGES

NOTHING: dict[str, Any] = dict.fromkeys(
    ("index", "verdict", "fusion", "parity", "shipped", "benchmark", "manifest", "environment", "race")
)


def index_of(classes: list[str], test_labels: np.ndarray) -> DataIndex:
    """A data set with these test images; every class has one image in the other splits."""
    splits = {}
    for name, labels in (
        ("train", np.arange(len(classes))),
        ("validation", np.arange(len(classes))),
        ("test", test_labels),
    ):
        paths = PathTable.of([f"{name}/{number}.png" for number in range(len(labels))])
        sizes = np.full((len(labels), 2), 32, dtype=np.int32)
        splits[name] = IndexedSplit(paths, labels.astype(np.int64), np.zeros((len(labels), 32), np.uint8), sizes)
    return DataIndex(root=None, classes=classes, splits=splits)  # type: ignore[arg-type]


def validated(classes: list[str], labels: np.ndarray, answers: np.ndarray, **changes: Any) -> Facts:
    """A run that was validated: the student gives these answers to test images of these labels, sure of each by .9."""
    confidence = np.full(len(labels), 0.9, dtype=np.float32)
    logits = np.where(np.eye(len(classes), dtype=bool)[answers], np.log(9.0 * (len(classes) - 1)), 0.0)
    figures = {split: score(logits, labels) for split in ("validation", "test")}
    recalls = dict(zip(classes, per_class_accuracy(logits, labels, len(classes)), strict=True))
    verdict = {
        "passed": True, "gates": [], "faults": [], "chosen_epoch": 1, "ships": "distilled", "why": None,
        "student": {"chosen": figures, "final": figures, "per_class_test": recalls},
        "base": None, "plain": None, "distilled": None, "teacher": None, "corruptions": None,
    }  # fmt: skip
    predictions = {"labels.test": labels, "chosen.test": answers, "confidence.chosen.test": confidence}
    epochs = [{"epoch": 1, "loss": 2.0, "validation_top1": 0.5, "time": {"parts": {"forward": 1.0}}}]
    records = {stage.name: StageRecord(stage.name, "done", "0") for stage in STAGES}
    made = Facts(
        state="shipped", records=records, outdated=(), ended_at=None, predictions=predictions,
        trainings={"distill": epochs},
        **NOTHING | {"index": index_of(classes, labels), "verdict": verdict},
    )  # fmt: skip
    return replace(made, **changes)


def ended_at(facts: Facts, stage: str, **record: Any) -> Facts:
    """The same run, if it had ended in a stage: nothing that this stage and those after it leave is there."""
    names = [each.name for each in STAGES]
    before = names[: names.index(stage)]
    kept: dict[str, Any] = {}
    for maker, attributes in {
        "data": ("index",), "fusion": ("fusion",), "race": ("race",), "validate": ("verdict",),
        "parity": ("parity", "shipped"), "bundle": ("benchmark", "manifest"),
    }.items():  # fmt: skip
        kept |= {} if maker in before else dict.fromkeys(attributes)
    if "validate" not in before:
        kept["predictions"] = {}
    records = {name: facts.records[name] for name in before}
    given = {"status": "running", "fingerprint": "0"} | record
    records[stage] = StageRecord(stage, **given)
    trainings = {name: epochs for name, epochs in facts.trainings.items() if name in (*before, stage)}
    return replace(facts, state="unfinished", ended_at=stage, records=records, trainings=trainings, **kept)
