"""The figures of a comparison's page that follow from its files."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.comparison import figure as accuracies
from pipeline.comparison.page.facts import ArmRun, ComparisonFacts
from pipeline.comparison.page.figures.curves import arm_curves
from pipeline.comparison.page.figures.pairs import wins_by_pair
from pipeline.comparison.sentences import told_plain
from pipeline.comparison.wins import wins
from pipeline.evaluation.probabilities import Reliability, reliability
from pipeline.report.page.figures.calibration import reliability_diagram
from pipeline.report.page.figures.drawing import PALETTE, draw, on_lines
from pipeline.report.page.figures.robustness import corruption_lines
from pipeline.report.page.figures.training import time_by_part
from pipeline.report.page.steps import Sketch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pipeline.comparison.analysis import ArmFigures

MOST_LINES = len(PALETTE)
"""Arms in a figure that has a colour for each: those with the highest accuracy."""


def figures_of_files(facts: ComparisonFacts) -> list[Sketch]:
    """As many as there are files for."""
    sketches = []
    if facts.figures:
        sketches.append(_of_accuracies("accuracies", accuracies.paint, facts))
    if told_plain(facts.figures) is not None:
        sketches.append(_of_accuracies("differences-to-plain", accuracies.paint_differences_to_plain, facts))
    trainings = epochs_by_arm(facts)
    if trainings:
        sketches.append(Sketch("training-curves", partial(arm_curves, trainings)))
        seconds = {on_lines(name, 30): mean_seconds(seeds) for name, seeds in trainings.items()}
        if any(seconds.values()):
            sketches.append(Sketch("training-time", partial(time_by_part, seconds)))
    if len(facts.figures) > 1:
        sketches.append(Sketch("wins", lambda: wins_by_pair(wins(facts.figures))))
    first = {name: run for name, run in facts.first_runs.items() if name in best_names(facts)}
    measured = {name: found for name, run in first.items() if (found := _reliability(run)) is not None}
    if measured:
        sketches.append(Sketch("reliability", partial(reliability_diagram, measured)))
    corrupted = {name: corruptions(facts, name) for name in best_names(facts)}
    if lines := {name: top1 for name, top1 in corrupted.items() if top1}:
        sketches.append(Sketch("robustness", partial(corruption_lines, lines)))
    return sketches


def _of_accuracies(
    name: str, paint: "Callable[[Figure, tuple[ArmFigures, ...]], None]", facts: ComparisonFacts
) -> Sketch:
    height = accuracies.height(facts.figures)
    return Sketch(name, partial(draw, name, height, lambda figure: paint(figure, facts.figures), accuracies.WIDTH))


def best_names(facts: ComparisonFacts) -> list[str]:
    """The arms with the highest accuracy, in their order, as many as there are colours."""
    ordered = sorted(facts.figures, key=lambda each: -each.test["chosen"].mean)[:MOST_LINES]
    return [each.arm.name for each in facts.figures if each in ordered]


def epochs_by_arm(facts: ComparisonFacts) -> dict[str, list[list[dict[str, Any]]]]:
    """Arm → for each seed that has begun to train its student, the epochs, as lines of `metrics.jsonl`."""
    found = {
        arm: [epochs for run in runs.values() if (epochs := run.facts.trainings.get("distill"))]
        for arm, runs in facts.runs.items()
    }
    return {arm: seeds for arm, seeds in found.items() if seeds}


def seconds_of(epochs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of a training by part."""
    total: dict[str, float] = {}
    for line in epochs:
        for part, seconds in (line.get("time") or {}).get("parts", {}).items():
            total[part] = total.get(part, 0.0) + seconds
    return total


def mean_seconds(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    """Seconds of a training by part, the mean over seeds."""
    each = [seconds_of(epochs) for epochs in seeds]
    parts = dict.fromkeys(part for found in each for part in found)
    return {part: sum(found.get(part, 0.0) for found in each) / len(each) for part in parts}


def corruptions(facts: ComparisonFacts, arm: str) -> dict[str, dict[str, float]]:
    """Top-1 by kind of corruption and severity, as text, the mean over the seeds that are finished; the kind `clean`
    has severity 0. Empty unless it was measured under each."""
    verdicts = [run.facts.verdict for run in facts.runs[arm].values() if run.finished]
    measured = [verdict["corruptions"]["top1"] for verdict in verdicts if verdict and verdict.get("corruptions")]
    if not measured or len(measured) < len(verdicts):
        return {}
    clean = [verdict["student"]["chosen"]["test"]["top1"] for verdict in verdicts if verdict]
    return {"clean": {"0": float(np.mean(clean))}} | {
        kind: {
            severity: float(np.mean([values[kind][severity] for values in measured])) for severity in measured[0][kind]
        }
        for kind in measured[0]
    }


def _reliability(run: ArmRun) -> Reliability | None:
    found = run.facts.predictions
    if "confidence.chosen.test" not in found:
        return None
    right = found["chosen.test"] == found["labels.test"]
    return reliability(found["confidence.chosen.test"].astype(np.float64), right)
