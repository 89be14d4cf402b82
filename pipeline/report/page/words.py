"""What the page says in words and tables, from the facts of a run."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

import numpy as np

from exporters.parity.chance import interval_text
from pipeline.evaluation.confusion import Confusion, confusion_counts, top_confusions
from pipeline.evaluation.separation import separation
from pipeline.explain.evidence import Evidence
from pipeline.recipe.schema.recipe import Recipe
from pipeline.report.accuracy import COLUMNS, accuracy_rows, gain_lines
from pipeline.report.page.facts import Facts
from pipeline.settings import Settings

CONFUSIONS = 10
"""Pairs of classes that are listed, at most."""

_MOST_CLASSES = 2_000
"""Classes in the table, at most."""

_VERDICTS = {
    "shipped": "Shipped",
    "refused": "Refused: a gate failed",
    "failed": "Failed",
    "unfinished": "Not finished",
}


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


@dataclass(frozen=True)
class Words:
    """The texts of a page.

    Attributes:
        verdict: a word or two.
        why: sentences below it.
        tables: by the name of the place where they stand.
        notes: likewise.
        commands: what continues, reproduces and uses the run.
    """

    verdict: str
    why: list[str]
    tables: dict[str, Table] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    commands: list[tuple[str, str]] = field(default_factory=list)


def words(
    facts: Facts,
    recipe: Recipe,
    run: str,
    teacher_size: tuple[int, int] | None,
    evidence: Evidence | None,
) -> Words:
    """The texts of a run's page.

    Args:
        facts: of its files.
        recipe: its recipe.
        run: its directory, as a person types it.
        teacher_size: parameters and bytes of the visual teacher.
        evidence: of its networks, where they could be asked.
    """
    tables = dict(_tables(facts, recipe, teacher_size))
    if evidence is not None and (table := _separations(evidence)) is not None:
        tables["separation"] = table
    return Words(_VERDICTS[facts.state], _why(facts), tables, _notes(facts, evidence), _commands(facts, run))


def _why(facts: Facts) -> list[str]:
    """What came of the run, and what speaks for or against it."""
    lines = []
    if facts.state == "unfinished":
        done = ", ".join(name for name, record in facts.records.items() if record.status == "done") or "nothing"
        lines.append(f"Done: {done}. Next: {facts.ended_at}.")
    if facts.message:
        lines.append(facts.message)
    if facts.verdict is not None:
        test = facts.verdict["student"]["chosen"]["test"]
        lines.append(
            f"The student is right on {100 * test['top1']:.2f} % of {test['images']:,} test images"
            f" (95 % interval {interval_text(test['top1'], test['images'], ' to ')})."
        )
        lines += [f"{line[:1].upper()}{line[1:]}." for line, _warns in gain_lines(facts.verdict)]
        lines += [f"Warning: on test, {fault}." for fault in facts.verdict["faults"]]
    return lines


def _tables(facts: Facts, recipe: Recipe, teacher_size: tuple[int, int] | None) -> Iterator[tuple[str, Table]]:
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
        splits = list(facts.fusion)
        yield (
            "fusion",
            Table(
                "The teacher view by view: top-1, % (mean weight without labels, %)",
                ["view", *splits],
                _view_rows(facts.fusion),
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


def _separations(evidence: Evidence) -> Table | None:
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


def _notes(facts: Facts, evidence: Evidence | None) -> dict[str, list[str]]:
    notes: dict[str, list[str]] = {}
    if facts.index is not None:
        summary = facts.index.summary()
        notes["data"] = [f"{len(facts.index.classes):,} classes. Fingerprint {facts.index.fingerprint[:16]}…"]
        for kind in ("skipped", "dropped"):
            left_out = getattr(facts.index, kind)
            if left_out:
                first = "; ".join(f"{each.path}: {each.reason}" for each in left_out[:3])
                notes["data"].append(f"{len(left_out):,} images were left out ({kind}): {first}")
        if summary.get("ignored"):
            notes["data"].append("Files that are no images: " + json.dumps(summary["ignored"], ensure_ascii=False))
    if evidence is not None and facts.index is not None:
        images, every = len(evidence.indices), len(facts.index.splits["test"])
        some = f"{images:,} of {every:,} test images" if images < every else f"all {every:,} test images"
        classes = f"the {len(evidence.chosen)} classes that the student mixes up most"
        of = classes if len(evidence.chosen) < len(facts.index.classes) else "all classes"
        notes["evidence"] = [f"What the networks say about {some}; features and logits of {of}."]
        if evidence.corrupted:
            notes["robustness"] = [
                f"Measured on {evidence.corrupted_images:,} test images, so that an accuracy is known to"
                f" ±{_half_width(evidence.corrupted_images):.0f} points (95 %)."
            ]
    return notes


def _half_width(images: int) -> float:
    """Of the 95 % interval of an accuracy of one half, in points."""
    from exporters.parity.intervals import wilson_interval

    low, high = wilson_interval(images // 2, images)
    return 50 * (high - low)


def recipe_rows(settings: Settings, prefix: str = "") -> list[list[str]]:
    """Every key that is not at its default, with its value and the default.

    Args:
        settings: a recipe, or a section of one.
        prefix: of the keys.
    """
    rows = []
    for name, info in type(settings).model_fields.items():
        key, value = f"{prefix}{info.alias or name}", getattr(settings, name)
        if isinstance(value, Settings):
            rows += recipe_rows(value, f"{key}.")
        elif isinstance(value, dict) and value and all(isinstance(each, Settings) for each in value.values()):
            for under, each in value.items():
                rows += recipe_rows(each, f"{key}.{under}.")
        elif info.is_required() or value != (default := info.get_default(call_default_factory=True, validated_data={})):
            rows.append([key, _value(value), "" if info.is_required() else _value(default)])
    return rows


def _value(value: Any) -> str:
    """As a recipe has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _commands(facts: Facts, run: str) -> list[tuple[str, str]]:
    recipe, where = quote(f"{run}/recipe.lock.yaml"), quote(run)
    commands = [("make the same again, in another directory", f"tmkd-pipeline run {recipe} --run-dir AGAIN")]
    if facts.state != "shipped":
        return [("go on", f"tmkd-pipeline run {recipe} --run-dir {where}"), *commands]
    bundle = quote(f"{run}/bundle")
    return [
        ("check the bundle", f"tmkd-pipeline verify {bundle}"),
        ("classify an image", f"tmkd-pipeline predict {bundle} IMAGE"),
        ("serve it", f"tmkd-pipeline serve {bundle}"),
        *commands,
    ]
