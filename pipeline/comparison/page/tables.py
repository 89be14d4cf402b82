"""The tables of a comparison's page. Accuracies and differences are in per cent and points, as in the report."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.comparison.analysis import ArmFigures
from pipeline.comparison.best import Best
from pipeline.comparison.page.facts import ComparisonFacts
from pipeline.comparison.page.figures.from_facts import epochs_by_arm, mean_seconds
from pipeline.comparison.sentences import told_plain
from pipeline.comparison.text import NONE, difference, interval, nats, percent, points, seconds, seeds, spread
from pipeline.comparison.wins import Wins
from pipeline.evaluation.paired import PairedDifference, mean_and_std
from pipeline.explain.evidence import Evidence
from pipeline.report.page.network_tables import separations
from pipeline.report.page.table import Table


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
            _difference(f"{each.arm.name} less {each.arm.reference}", each.paired["chosen"])
            for each in figures
            if each.paired
        ]
        yield "differences", _differences("Each arm less its reference", rows)
    if told_plain(figures) is not None:
        rows = [_difference(each.arm.name, each.plain["chosen"]) for each in figures if each.plain]
        yield "differences-to-plain", _differences("Each arm less plain training", rows)
    if best is not None and best.differences:
        rows = [_difference(f"less {other}", paired) for other, paired in best.differences.items()]
        yield "best", _differences(f"{best.arm.arm.name}, which has the highest accuracy", rows)
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
    columns = ["arm", "test, chosen", "95 % interval", "test, last", "95 % interval", "validation", "seeds"]
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
    title = "Top-1, %, of the chosen and of the last epoch: mean ± standard deviation over seeds"
    return Table(title, columns, rows)


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
    columns = ["", "verdict", "points", "95 % interval", "Student's t, 95 %", "by seed"]
    return Table(f"{title}: test, chosen epoch", columns, rows, names=2)


def _difference(what: str, paired: PairedDifference) -> list[str]:
    return [
        what,
        paired.verdict,
        difference(paired),
        interval(paired.interval),
        NONE if paired.t_interval is None else interval(paired.t_interval),
        ", ".join(points(value) for value in paired.differences),
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
        wall, cpu = (_over_seeds([_total(epochs, key) for epochs in runs]) for key in ("seconds", "cpu_seconds"))
        by_part = [f"{parts[arm].get(name, 0.0):,.1f}" for name in names]
        rows.append([arm, wall, cpu, per_epoch.get(arm, NONE), *by_part])
    title = "Seconds of training a student, mean over seeds; wall seconds also by part"
    return Table(title, ["arm", "wall", "CPU", "median epoch", *names], rows)


def _total(epochs: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Of a training; None where an epoch does not have it."""
    values: list[float | None] = [(line.get("time") or {}).get(key) for line in epochs]
    known = [value for value in values if value is not None]
    return None if len(known) < len(values) else float(sum(known))


def _over_seeds(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return NONE
    total = mean_and_std(known)
    return f"{total.mean:,.1f}" if total.std is None else f"{total.mean:,.1f} ± {total.std:,.1f}"


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
