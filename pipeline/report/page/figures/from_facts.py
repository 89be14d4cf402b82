"""The figures that follow from a run's files alone."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipeline.evaluation.confusion import clustered_order, confusion_counts
from pipeline.evaluation.probabilities import reliability
from pipeline.report.page.facts import Facts
from pipeline.report.page.figures.calibration import reliability_diagram
from pipeline.report.page.figures.classes import class_bars, class_spread, confusion_closeup, confusion_matrix
from pipeline.report.page.figures.drawing import Drawn
from pipeline.report.page.figures.training import curves, time_by_part

_NAMES = {"distill": "student", "baseline": "plain training", "reference": "base", "text": "text teacher"}
"""What people call the training of a stage, where that is not the stage's name."""

_STUDENTS = {"chosen": "student", "base": "base", "plain": "plain training"}


def figures_of_files(facts: Facts) -> Iterator[Drawn]:
    """As many as there are files for."""
    trainings = {_NAMES.get(stage, stage): epochs for stage, epochs in facts.trainings.items()}
    if trainings:
        main = "student" if "student" in trainings else list(trainings)[-1]
        yield curves(trainings, main, None if facts.verdict is None else facts.verdict["chosen_epoch"])
        seconds = {name: _seconds(epochs) for name, epochs in trainings.items()}
        if any(seconds.values()):
            yield time_by_part(seconds)
    if facts.index is not None and facts.predictions and facts.verdict is not None:
        yield from _of_predictions(facts, facts.index.classes)


def _of_predictions(facts: Facts, classes: list[str]) -> Iterator[Drawn]:
    found, verdict = facts.predictions, facts.verdict
    assert verdict is not None
    labels = found["labels.test"]
    counts = confusion_counts(found["chosen.test"], labels, len(classes))
    recalls = list(verdict["student"]["per_class_test"].values())
    order = clustered_order(counts)
    yield class_bars(recalls, counts.sum(axis=1), classes)
    yield confusion_matrix(counts, order, classes)
    yield from filter(None, (class_spread(recalls), confusion_closeup(counts, order, classes)))
    measured = {
        title: reliability(found[f"confidence.{name}.test"].astype(np.float64), found[f"{name}.test"] == labels)
        for name, title in _STUDENTS.items()
        if f"confidence.{name}.test" in found
    }
    if "confidence.calibrated.test" in found:
        calibrated = reliability(found["confidence.calibrated.test"].astype(np.float64), found["chosen.test"] == labels)
        measured = {"student": measured.pop("student"), "student, calibrated": calibrated, **measured}
    if measured:
        yield reliability_diagram(measured)


def _seconds(epochs: list[Mapping[str, Any]] | list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of all epochs by part."""
    total: dict[str, float] = {}
    for epoch in epochs:
        for part, seconds in (epoch.get("time") or {}).get("parts", {}).items():
            total[part] = total.get(part, 0.0) + seconds
    return total
