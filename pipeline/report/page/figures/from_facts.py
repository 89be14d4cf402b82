"""The figures that follow from a run's files alone."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from pipeline.evaluation.confusion import clustered_order, confusion_counts
from pipeline.evaluation.probabilities import reliability
from pipeline.report.page.facts import Facts
from pipeline.report.page.figures.calibration import reliability_diagram
from pipeline.report.page.figures.classes import class_bars, class_spread, confusion_closeup, confusion_matrix
from pipeline.report.page.figures.training import curves, time_by_part
from pipeline.report.page.steps import Sketch

_NAMES = {"distill": "student", "baseline": "plain training", "reference": "base", "text": "text teacher"}
"""What people call the training of a stage, where that is not the stage's name."""

_STUDENTS = {"chosen": "student", "base": "base", "plain": "plain training"}


def figures_of_files(facts: Facts) -> list[Sketch]:
    """As many as there are files for."""
    sketches = []
    trainings = {_NAMES.get(stage, stage): epochs for stage, epochs in facts.trainings.items()}
    if trainings:
        main = "student" if "student" in trainings else list(trainings)[-1]
        epoch = None if facts.verdict is None else facts.verdict["chosen_epoch"]
        sketches.append(Sketch("training-curves", partial(curves, trainings, main, epoch)))
        seconds = {name: _seconds(epochs) for name, epochs in trainings.items()}
        if any(seconds.values()):
            sketches.append(Sketch("training-time", partial(time_by_part, seconds)))
    if facts.index is not None and facts.predictions and facts.verdict is not None:
        sketches += _of_predictions(facts, facts.index.classes)
    return sketches


def _of_predictions(facts: Facts, classes: list[str]) -> list[Sketch]:
    found, verdict = facts.predictions, facts.verdict
    assert verdict is not None
    labels = found["labels.test"]
    counts = confusion_counts(found["chosen.test"], labels, len(classes))
    recalls = list(verdict["student"]["per_class_test"].values())
    order = clustered_order(counts)
    sketches = [
        Sketch("class-accuracy", partial(class_bars, recalls, counts.sum(axis=1), classes)),
        Sketch("confusion-matrix", partial(confusion_matrix, counts, order, classes)),
        Sketch("class-spread", partial(class_spread, recalls)),
        Sketch("confusion-closeup", partial(confusion_closeup, counts, order, classes)),
    ]
    measured = {
        title: reliability(found[f"confidence.{name}.test"].astype(np.float64), found[f"{name}.test"] == labels)
        for name, title in _STUDENTS.items()
        if f"confidence.{name}.test" in found
    }
    if "confidence.calibrated.test" in found:
        calibrated = reliability(found["confidence.calibrated.test"].astype(np.float64), found["chosen.test"] == labels)
        measured = {"student": measured.pop("student"), "student, calibrated": calibrated, **measured}
    if measured:
        sketches.append(Sketch("reliability", partial(reliability_diagram, measured)))
    return sketches


def _seconds(epochs: list[Mapping[str, Any]] | list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of all epochs by part."""
    total: dict[str, float] = {}
    for epoch in epochs:
        for part, seconds in (epoch.get("time") or {}).get("parts", {}).items():
            total[part] = total.get(part, 0.0) + seconds
    return total
