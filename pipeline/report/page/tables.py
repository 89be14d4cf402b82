"""The tables of a run's page, from the facts of the run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.confusion import Confusion, confusion_counts, top_confusions
from pipeline.evaluation.separation import separation
from pipeline.explain.evidence import Evidence
from pipeline.recipe.schema.recipe import Recipe
from pipeline.report.accuracy import COLUMNS, accuracy_rows
from pipeline.report.page.facts import Facts
from pipeline.report.page.recipe_table import recipe_rows

CONFUSIONS = 10
"""Pairs of classes that are listed, at most."""

_MOST_CLASSES = 2_000
"""Classes in the table, at most."""

_SPLITS = ("train", "validation", "test")
"""In the order of the columns."""


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: its caption.
        columns: headings.
        rows: of as many cells.
        names: how many cells at the start of a row are names rather than figures.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    names: int = 1


def tables(
    facts: Facts, recipe: Recipe, teacher_size: tuple[int, int] | None, evidence: Evidence | None
) -> Iterator[tuple[str, Table]]:
    """Each table with the name of the place where it stands.

    Args:
        facts: of the run's files.
        recipe: its recipe.
        teacher_size: parameters and bytes of the visual teacher.
        evidence: of its networks, where they could be asked.
    """
    if facts.verdict is not None:
        size = None
        if facts.manifest is not None:
            size = facts.manifest["parameters"], facts.manifest["files"]["model.onnx"]["size"]
        yield (
            "accuracy",
            Table(
                "Student against teacher; in parentheses: 95 % intervals",
                COLUMNS,
                accuracy_rows(facts.verdict, teacher_size, size),
            ),
        )
        columns = ["gate", "measured", "bound", ""]
        yield "gates", Table("Gates", columns, _gate_rows(facts))
        yield (
            "probabilities",
            Table("Probabilities on test", ["", "NLL, nats", "ECE, %"], _probabilities(facts.verdict)),
        )
    if facts.fusion is not None:
        fusion = {split: facts.fusion[split] for split in sorted(facts.fusion, key=_SPLITS.index)}
        yield (
            "fusion",
            Table(
                "The teacher view by view: top-1, % (mean weight without labels, %)",
                ["view", *fusion],
                _view_rows(fusion),
            ),
        )
    if facts.parity is not None:
        yield (
            "parity",
            Table(
                "Each exported file against the student, on the validation images",
                ["file", "", "same top-1 class, %", "accuracy lost, points", "largest error / scale", "why"],
                list(_parity_rows(facts.parity)),
                names=2,
            ),
        )
    if facts.benchmark is not None:
        yield (
            "speed",
            Table(
                f"Latency of one image and images a second at batches of {facts.benchmark['batch']}, on this machine",
                ["runtime", "median, ms", "95th percentile, ms", "images a second"],
                [
                    [name, f"{each['p50_ms']:.3f}", f"{each['p95_ms']:.3f}", f"{each['images_per_second']:,.0f}"]
                    for name, each in facts.benchmark["runtimes"].items()
                ],
            ),
        )
    if facts.records:
        yield (
            "stages",
            Table(
                "Stages",
                ["stage", "", "seconds"],
                [[name, record.status, f"{record.seconds:.1f}"] for name, record in facts.records.items()],
                names=2,
            ),
        )
    if facts.index is not None:
        yield (
            "splits",
            Table(
                "Images",
                ["split", "images", "smallest class", "largest class", "copies", "width × height"],
                _split_rows(facts),
            ),
        )
    if facts.verdict is not None and facts.index is not None and facts.predictions:
        yield "classes", Table("Accuracy on test, class by class", ["class", "images", "right, %"], _class_rows(facts))
        yield (
            "confusions",
            Table(
                "What is taken for what most often, on test",
                ["class", "taken for", "images", "of the class, %"],
                [_confusion_row(pair, facts.index.classes) for pair in confusions(facts)],
                names=2,
            ),
        )
    yield "recipe", Table("What the recipe sets", ["key", "value", "default"], recipe_rows(recipe), names=3)
    if facts.environment is not None:
        rows = [[key, str(value)] for key, value in facts.environment.items() if not isinstance(value, dict)]
        rows += [[name, version] for name, version in facts.environment.get("packages", {}).items()]
        yield "environment", Table("Made with", ["", "version"], rows, names=2)
    if evidence is not None and (table := separations(evidence)) is not None:
        yield "separation", table


def confusions(facts: Facts) -> list[Confusion]:
    """The pairs of classes that the student mixes up most on test."""
    assert facts.index is not None
    found = facts.predictions
    counts = confusion_counts(found["chosen.test"], found["labels.test"], len(facts.index.classes))
    return top_confusions(counts, CONFUSIONS)


def _confusion_row(pair: Confusion, classes: list[str]) -> list[str]:
    return [classes[pair.true], classes[pair.answer], f"{pair.images:,}", f"{100 * pair.images / pair.of:.1f}"]


def _gate_rows(facts: Facts) -> list[list[str]]:
    """Those on the student, and those on its file where it was packed."""
    assert facts.verdict is not None
    packed = facts.records.get("bundle")
    gates = [*facts.verdict["gates"], *([] if packed is None else packed.summary.get("gates", []))]
    return [
        [
            gate["key"] + (f" ({gate['of']})" if gate.get("of") else ""),
            _figure(gate["measured"]),
            _figure(gate["bound"]),
            "passed" if gate["passed"] else "failed",
        ]
        for gate in gates
    ]


def _probabilities(verdict: Mapping[str, Any]) -> list[list[str]]:
    scores = {"student": verdict["student"]["chosen"], "base": verdict["base"], "plain training": verdict["plain"]}
    return [
        [name, f"{score['test']['nll']:.3f}", f"{100 * score['test']['ece']:.2f}"]
        for name, score in scores.items()
        if score is not None and score["test"]["nll"] is not None
    ]


def _view_rows(fusion: Mapping[str, Any]) -> list[list[str]]:
    names = sorted(next(iter(fusion.values()))["views"], key="rgb".__ne__)
    rows = [
        [
            name,
            *(f"{100 * each['views'][name]:.2f} ({100 * each['mean_weights'][name]:.1f})" for each in fusion.values()),
        ]
        for name in names
    ]
    if len(names) > 1:
        for key, title in (("uniform", "fused, equal weights"), ("fused", "fused"), ("oracle", "fused by labels")):
            rows.append([title, *(f"{100 * each[key]:.2f}" for each in fusion.values())])
    return [*rows, ["images", *(f"{each['images']:,}" for each in fusion.values())]]


def _parity_rows(parity: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, report in parity.items():
        if name == "engines":
            for precision, engine in report.items():
                yield _artifact_row(f"engine {precision}", engine)
        else:
            yield _artifact_row("model.onnx" if name == "fp32" else f"model.{name}.onnx", report)


def _artifact_row(name: str, report: Mapping[str, Any]) -> list[str]:
    whole = report.get("whole") or {}
    status = report.get("status", "shipped" if report.get("passed") else "rejected")
    reason = report.get("reason") or "; ".join(report.get("failures", ()))
    agreement, lost, error = (whole.get(key) for key in ("top1_agreement", "accuracy_drop", "max_scaled_error"))
    return [
        name,
        status,
        "" if agreement is None else f"{100 * agreement:.3f}",
        "" if lost is None else f"{100 * lost:+.3f}",
        "" if error is None else f"{error:.1e}",
        reason,
    ]


def _split_rows(facts: Facts) -> list[list[str]]:
    assert facts.index is not None
    summary, rows = facts.index.summary()["splits"], []
    for name, split in facts.index.splits.items():
        about = summary[name]
        low, high = split.sizes.min(axis=0), split.sizes.max(axis=0)
        sizes = f"{low[0]} × {low[1]}" + ("" if (low == high).all() else f" to {high[0]} × {high[1]}")
        counts = (about[key] for key in ("images", "smallest_class", "largest_class", "duplicates"))
        rows.append([name, *(f"{count:,}" for count in counts), sizes])
    return rows


def _class_rows(facts: Facts) -> list[list[str]]:
    """The worst first."""
    assert facts.verdict is not None and facts.index is not None
    counts = np.bincount(facts.predictions["labels.test"], minlength=len(facts.index.classes))
    known = [
        (share, name, int(counts[label]))
        for label, (name, share) in enumerate(facts.verdict["student"]["per_class_test"].items())
        if share is not None
    ]
    return [[name, f"{images:,}", f"{100 * share:.1f}"] for share, name, images in sorted(known)[:_MOST_CLASSES]]


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


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
