"""The tables of what the networks are like: what they cost, how far their classes lie apart, what corruption costs."""

from collections.abc import Iterator

import numpy as np

from pipeline.evaluation.separation import separation
from pipeline.explain.cost import Cost, Costs
from pipeline.explain.evidence import STUDENT, TEACHER, Evidence
from pipeline.report.page.table import Table


def network_tables(evidence: Evidence | None, costs: Costs | None) -> Iterator[tuple[str, Table]]:
    """As many as could be asked and measured, each with the name of the place where it stands."""
    if costs is not None:
        columns = ["", "runtime", "parameters", "size, MB", "MACs, millions", "median, ms", "95th percentile, ms"]
        yield "costs", Table("What one image costs", columns, list(_cost_rows(costs)), names=2)
    if evidence is None:
        return
    if (table := separations(evidence)) is not None:
        yield "separation", table
    if evidence.corrupted:
        severities = _severities(evidence)
        columns = ["", "clean", *(f"severity {severity}" for severity in severities), "mean of the corrupted"]
        rows = [_corruption_row(evidence, name, severities) for name in evidence.corrupted]
        yield "corruptions", Table("Top-1 on corrupted test images, %, mean over the kinds", columns, rows)


def _cost_rows(costs: Costs) -> Iterator[list[str]]:
    """Each network, and how many times the student is smaller and faster than the teacher in the same runtime."""
    for each in costs.networks:
        figures = [f"{each.parameters:,}", f"{each.size / 1e6:.2f}", f"{each.macs / 1e6:,.2f}"]
        yield [
            each.title,
            each.runtime,
            *figures,
            *("" if ms is None else f"{ms:.3f}" for ms in (each.p50_ms, each.p95_ms)),
        ]
    alike: dict[str, Cost] = {}
    for each in costs.networks:
        alike.setdefault(each.title, each)
    if {STUDENT, TEACHER} <= set(alike):
        ours, theirs = alike[STUDENT], alike[TEACHER]
        pairs = [
            (theirs.parameters, ours.parameters),
            (theirs.size, ours.size),
            (theirs.macs, ours.macs),
            (theirs.p50_ms, ours.p50_ms),
            (theirs.p95_ms, ours.p95_ms),
        ]
        yield ["teacher / student", ours.runtime, *(f"{a / b:.1f} ×" if a is not None and b else "" for a, b in pairs)]


def separations(evidence: Evidence) -> Table | None:
    """How far the classes lie apart in the features of each network; None where there is nothing to compare."""
    rows = []
    for answers in evidence.networks.values():
        own = np.isin(evidence.labels, evidence.chosen)
        found = separation(answers.features[own], evidence.labels[own])
        if found is not None:
            figures = (found.silhouette, found.within, found.between, found.ratio)
            rows.append([answers.title, *(f"{figure:.3f}" for figure in figures)])
    if not rows:
        return None
    columns = ["features of", "silhouette", "distance within classes", "between classes", "between / within"]
    return Table("How far the classes lie apart (features of unit length)", columns, rows)


def _severities(evidence: Evidence) -> list[str]:
    """As the network that ships has them."""
    kinds = next(iter(evidence.corrupted.values()))
    return sorted({severity for kind, values in kinds.items() if kind != "clean" for severity in values}, key=int)


def _corruption_row(evidence: Evidence, name: str, severities: list[str]) -> list[str]:
    kinds = evidence.corrupted[name]
    corrupted = [values for kind, values in kinds.items() if kind != "clean"]
    means = [
        float(np.mean([values[severity] for values in corrupted if severity in values])) for severity in severities
    ]
    every = float(np.mean([share for values in corrupted for share in values.values()]))
    return [name, *(f"{100 * share:.1f}" for share in (kinds["clean"]["0"], *means, every))]
