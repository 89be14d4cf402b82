"""The tables of a run's page, from the facts of the run."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.explain.cost import Costs
from pipeline.explain.evidence import STUDENT, Evidence
from pipeline.recipe.schema.recipe import Recipe
from pipeline.report.accuracy import COLUMNS, accuracy_rows
from pipeline.report.page.class_tables import class_tables
from pipeline.report.page.facts import Facts
from pipeline.report.page.file_tables import file_tables
from pipeline.report.page.network_tables import network_tables
from pipeline.report.page.recipe_table import recipe_rows
from pipeline.report.page.table import Table

_SPLITS = ("train", "validation", "test")
"""In the order of the columns."""


def tables(
    facts: Facts,
    recipe: Recipe,
    teacher_size: tuple[int, int] | None,
    evidence: Evidence | None,
    costs: Costs | None = None,
) -> Iterator[tuple[str, Table]]:
    """Each table with the name of the place where it stands.

    Args:
        facts: of the run's files.
        recipe: its recipe.
        teacher_size: parameters and bytes of the visual teacher.
        evidence: of its networks, where they could be asked.
        costs: of its networks, where they could be measured.
    """
    if facts.verdict is not None:
        size = None
        if facts.manifest is not None:
            size = facts.manifest["parameters"], facts.manifest["files"]["model.onnx"]["size"]
        elif costs is not None:  # a gate failed before it was packed
            sizes = [(each.parameters, each.size) for each in costs.networks if each.title == STUDENT]
            size = sizes[-1] if sizes else None
        yield (
            "accuracy",
            Table(
                "Student against teacher; in parentheses: 95 % intervals",
                COLUMNS,
                accuracy_rows(facts.verdict, teacher_size, size),
            ),
        )
        if gates := _gate_rows(facts):
            yield "gates", Table("Gates", ["gate", "measured", "bound", ""], gates)
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
    yield from file_tables(facts)
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
    yield from class_tables(facts)
    yield "recipe", Table("What the recipe sets", ["key", "value", "default"], recipe_rows(recipe), names=3)
    if facts.environment is not None:
        rows = [[key, str(value)] for key, value in facts.environment.items() if not isinstance(value, dict)]
        rows += [[name, version] for name, version in facts.environment.get("packages", {}).items()]
        yield "environment", Table("Made with", ["", "version"], rows, names=2)
    yield from network_tables(evidence, costs)


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
    rows = [
        [name, f"{score['test']['nll']:.3f}", f"{100 * score['test']['ece']:.2f}"]
        for name, score in scores.items()
        if score is not None and score["test"]["nll"] is not None
    ]
    calibration = verdict.get("calibration")
    if calibration is not None and not calibration["off"]:
        test, name = (
            calibration["splits"]["test"],
            f"student, calibrated (temperature {calibration['temperature']:.4g})",
        )
        rows.insert(1, [name, f"{test['nll_after']:.3f}", f"{100 * test['ece_after']:.2f}"])
    return rows


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


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
