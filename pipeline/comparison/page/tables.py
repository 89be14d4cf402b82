"""The tables of a comparison's page. Accuracies and differences are in per cent and points, as in the report."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.comparison.analysis import ArmFigures
from pipeline.comparison.best import Best
from pipeline.comparison.markdown import told_plain
from pipeline.comparison.page.facts import ComparisonFacts
from pipeline.comparison.page.figures.from_facts import epochs_by_arm, mean_seconds
from pipeline.comparison.text import NONE, difference, interval, nats, percent, points, seconds, seeds, spread
from pipeline.comparison.wins import Wins
from pipeline.evaluation.paired import PairedDifference, mean_and_std
from pipeline.explain.evidence import Evidence
from pipeline.report.page.tables import Table, separations


def tables(
    facts: ComparisonFacts, best: Best | None, found: Wins | None, evidence: Evidence | None
) -> Iterator[tuple[str, Table]]:
    """Each table with the name of the place where it stands.

    Args:
        facts: of the comparison.
        best: its best arm.
        found: who has which images right.
        evidence: of the students, where they could be asked.
    """
    figures = facts.figures
    if facts.missing:
        rows = [[run, why] for run, why in facts.missing.items()]
        yield "missing", Table("Runs without results", ["run", "why"], rows, names=2)
    if figures:
        yield "accuracy", _accuracies(figures)
        yield "seeds", _seeds(figures)
    if any(each.paired is not None for each in figures):
        rows = [
            _difference(each.arm.name, each.arm.reference or "", each.paired["chosen"])
            for each in figures
            if each.paired
        ]
        yield "differences", _differences("Each arm less its reference, on test, chosen epoch", rows)
    if told_plain(figures) is not None:
        rows = [_difference(each.arm.name, "ce", each.plain["chosen"]) for each in figures if each.plain]
        yield "differences-to-plain", _differences("Each arm less plain training, on test, chosen epoch", rows)
    if best is not None and best.differences:
        name = best.arm.arm.name
        rows = [_difference(name, other, paired) for other, paired in best.differences.items()]
        yield "best", _differences("The arm with the highest accuracy less each other, on test, chosen epoch", rows)
    if (costs := _costs(facts)) is not None:
        yield "cost", costs
    if any(each.nll is not None for each in figures):
        rows = [[each.arm.name, nats(each.nll), NONE if each.ece is None else spread(each.ece)] for each in figures]
        title = "Probabilities on test, chosen epoch; both better where they are lower"
        yield "probabilities", Table(title, ["arm", "NLL, nats", "ECE, %"], rows)
    if kinds := next((tuple(each.corrupted) for each in figures if each.corrupted), ()):
        kinds = tuple(sorted(kinds, key="mean".__ne__))  # the mean first, the others as they were
        columns = ["arm", *("all" if kind == "mean" else kind.replace("_", " ") for kind in kinds)]
        rows = [
            [each.arm.name, *(spread(each.corrupted[kind]) if each.corrupted else NONE for kind in kinds)]
            for each in figures
        ]
        yield "corruptions", Table("Top-1 on corrupted test images, %, mean of severities 1, 3 and 5", columns, rows)
    if found is not None:
        counts = (found.right, found.alone_right, found.alone_wrong)
        rows = [[name, *(f"{int(each[number].sum()):,}" for each in counts)] for number, name in enumerate(found.names)]
        yield "wins", Table("Test images by arm", ["arm", "right", "only this one right", "only this one wrong"], rows)
    if evidence is not None and (table := separations(evidence)) is not None:
        yield "separation", table
    changes = {arm.name: [f"{key}={value}" for key, value in sorted(arm.settings.items())] for arm in facts.plan.arms}
    rows = [[arm, ", ".join(changed) or "nothing"] for arm, changed in changes.items()]
    yield "settings", Table("What each arm changes against the recipe", ["arm", "changes"], rows, names=2)


def _accuracies(figures: Sequence[ArmFigures]) -> Table:
    columns = ["arm", "test, chosen epoch", "95 %", "test, last epoch", "95 %", "validation, chosen epoch", "seeds"]
    rows = [
        [
            each.arm.name,
            spread(each.test["chosen"]),
            bounds(each.interval["chosen"]),
            spread(each.test["final"]),
            bounds(each.interval["final"]),
            spread(each.validation["chosen"]),
            seeds(each),
        ]
        for each in figures
    ]
    return Table("Top-1, %, mean ± standard deviation over seeds", columns, rows)


def bounds(interval: tuple[float, float]) -> str:
    """`78.10 to 80.02`, in per cent."""
    return f"{percent(interval[0])} to {percent(interval[1])}"


def _seeds(figures: Sequence[ArmFigures]) -> Table:
    columns = ["arm", "run", "test, chosen epoch", "test, last epoch", "validation", "NLL", "ECE, %", "s / epoch"]
    rows = [
        [
            each.arm.name,
            result.run,
            *(percent(result.test[which]) for which in ("chosen", "final")),
            percent(result.validation["chosen"]),
            NONE if result.nll is None else f"{result.nll:.3f}",
            NONE if result.ece is None else percent(result.ece),
            f"{result.seconds_per_epoch:.1f}",
        ]
        for each in figures
        for result in each.arm.seeds
    ]
    return Table("Seed by seed", columns, rows, names=2)


def _differences(title: str, rows: list[list[str]]) -> Table:
    columns = ["arm", "against", "verdict", "points", "95 % interval", "by seed", "Student's t"]
    return Table(title, columns, rows, names=3)


def _difference(arm: str, other: str, paired: PairedDifference) -> list[str]:
    return [
        arm,
        other,
        paired.verdict,
        difference(paired),
        interval(paired.interval),
        ", ".join(points(value) for value in paired.differences),
        NONE if paired.t_interval is None else interval(paired.t_interval),
    ]


def _costs(facts: ComparisonFacts) -> Table | None:
    """Of training the students, by part."""
    trainings = epochs_by_arm(facts)
    parts = {arm: mean_seconds(epochs) for arm, epochs in trainings.items()}
    names = list(dict.fromkeys(part for found in parts.values() for part in found))
    if not names:
        return None
    per_epoch = {each.arm.name: seconds(each.seconds_per_epoch) for each in facts.figures}
    rows = []
    for arm, runs in trainings.items():
        total = mean_and_std([_seconds(epochs) for epochs in runs])
        text = f"{total.mean:,.1f}" if total.std is None else f"{total.mean:,.1f} ± {total.std:,.1f}"
        rows.append([arm, text, per_epoch.get(arm, NONE), *(f"{parts[arm].get(name, 0.0):,.1f}" for name in names)])
    title = "Seconds of training a student, mean over seeds, and by part"
    return Table(title, ["arm", "all", "median epoch", *names], rows)


def _seconds(epochs: Sequence[Mapping[str, Any]]) -> float:
    """Of a training."""
    return float(sum((line.get("time") or {}).get("seconds", 0.0) for line in epochs))


def shared_seconds(facts: ComparisonFacts) -> dict[str, float]:
    """Seconds of the stages before the student, each once: what the runs share counts for the run that made it."""
    found: dict[str, dict[str, float]] = {}
    for runs in facts.runs.values():
        for run in runs.values():
            for stage in ("data", "teacher", "text", "fusion", "race"):
                record = run.facts.records.get(stage)
                if record is not None and record.status == "done":
                    found.setdefault(stage, {})[record.fingerprint] = record.seconds
    return {stage: float(np.sum(list(seconds.values()))) for stage, seconds in found.items()}
