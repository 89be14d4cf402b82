"""What the page says in words, from the facts of a run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from exporters.parity.chance import interval_text
from exporters.parity.intervals import wilson_interval
from pipeline.explain.cost import Costs
from pipeline.explain.evidence import Evidence
from pipeline.recipe.schema.recipe import Recipe
from pipeline.report.accuracy import gain_lines
from pipeline.report.page.facts import Facts
from pipeline.report.page.table import Table
from pipeline.report.page.tables import tables

_VERDICTS = {
    "shipped": "Shipped",
    "refused": "Refused: a gate failed",
    "failed": "Failed",
    "unfinished": "Not finished",
}


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
    costs: Costs | None = None,
) -> Words:
    """The texts of a run's page.

    Args:
        facts: of its files.
        recipe: its recipe.
        run: its directory, as a person types it.
        teacher_size: parameters and bytes of the visual teacher.
        evidence: of its networks, where they could be asked.
        costs: of its networks, where they could be measured.
    """
    made = dict(tables(facts, recipe, teacher_size, evidence, costs))
    return Words(_VERDICTS[facts.state], _why(facts), made, _notes(facts, evidence, costs), _commands(facts, run))


def _why(facts: Facts) -> list[str]:
    """What came of the run, and what speaks for or against it."""
    lines = []
    if facts.state == "unfinished":
        done = ", ".join(name for name, record in facts.records.items() if record.status == "done") or "nothing"
        lines.append(f"Done: {done}. Next: {facts.ended_at}.")
    if facts.message:
        lines += [_sentence(line) for line in facts.message.splitlines() if line.strip()]
    if facts.outdated:
        lines.append(f"Left out, since what they follow from has changed: {', '.join(facts.outdated)}.")
    if facts.verdict is not None:
        test = facts.verdict["student"]["chosen"]["test"]
        lines.append(
            f"The student is right on {100 * test['top1']:.2f} % of {test['images']:,} test images"
            f" (95 % interval {interval_text(test['top1'], test['images'], ' to ')})."
        )
        lines += [f"{line[:1].upper()}{line[1:]}." for line, _warns in gain_lines(facts.verdict)]
        lines += [f"Warning: on test, {fault}." for fault in facts.verdict["faults"]]
    return lines


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?", ":")) else ".")


def _notes(facts: Facts, evidence: Evidence | None, costs: Costs | None) -> dict[str, list[str]]:
    notes: dict[str, list[str]] = {}
    if costs is not None:
        threads = "one thread" if costs.threads == 1 else f"{costs.threads} threads"
        notes["costs"] = [
            f"Measured on the processor ({costs.processor}, {threads}), image by image and in turn, when this page was"
            " made. MACs: multiply-accumulate operations of convolutions and matrix products; FLOPs are twice as many."
        ]
        if facts.verdict is not None and (views := _views(facts.verdict)) > 1:
            notes["costs"].append(
                f"The teacher looks at {views} views of each training image, at {views} times that cost."
            )
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


def _views(verdict: Mapping[str, Any]) -> int:
    teacher = verdict["teacher"]
    return 0 if teacher is None else len(teacher["test"]["views"])


def _half_width(images: int) -> float:
    """Of the 95 % interval of an accuracy of one half, in points."""
    low, high = wilson_interval(images // 2, images)
    return 50 * (high - low)


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
