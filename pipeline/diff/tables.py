"""The report of `diff` in words and tables, wherever they are shown."""

from collections.abc import Iterator, Sequence
from typing import Any

from exporters.benchmark.machine import describe_machine
from exporters.core.wording import count_of, first_of, p_value, was_or_were
from exporters.parity.intervals import wilson_interval
from pipeline.data.path_table import printable
from pipeline.diff.gates import Verdict
from pipeline.diff.measure import Measured, OneSided
from pipeline.diff.pairs import FEWEST_CHANGES, LEVEL, ClassPair
from pipeline.report.page.table import Table

NONE = "—"
_NAMED = 10
"""Labels that a sentence names."""


def headline(measured: Measured) -> str:
    """Which bundle is better, in one clause."""
    both = measured.overall
    if both.p >= LEVEL:
        return "No difference in accuracy beyond chance"
    return f"The new bundle is {'better' if both.gained > both.lost else 'worse'} in accuracy, beyond chance"


def verdict(measured: Measured, verdicts: Sequence[Verdict]) -> str:
    """What came of the gates, else of the accuracy, in one clause."""
    if not verdicts:
        return headline(measured)
    failed = sum(not each.passed for each in verdicts)
    return f"{failed} of {count_of(len(verdicts), 'gate')} failed" if failed else "All gates passed"


def sentences(measured: Measured) -> Iterator[str]:
    """What was compared on what, what came of it, and what was left out; the first has the result."""
    both, images = measured.overall, measured.overall.images
    low, high = both.interval
    yield (
        f"{headline(measured)}: {100 * both.difference:+.2f} points (paired 95 % interval {100 * low:+.2f} to"
        f" {100 * high:+.2f}; McNemar's exact test {p_value(both.p)})."
    )
    yield (
        f"Of {count_of(images, 'image')}, {both.lost:,} changed from right to wrong and {both.gained:,} from wrong to"
        f" right; both bundles give the same answer to {percent(measured.agreement, images)} %."
    )
    yield from _class_sentences(measured)
    if measured.speed is not None:
        ratio, threads = measured.speed.times_as_long, measured.speed.threads
        yield (
            f"The new model takes {ratio.ratio:.2f} times as long for an image (95 % interval {ratio.low:.2f} to"
            f" {ratio.high:.2f}), measured in turns with {count_of(threads, 'thread')} on {_machine(measured)}."
        )
    yield from _label_sentences(measured)
    skipped = len(measured.asked.unreadable)
    if skipped:
        yield f"{count_of(skipped, 'image')} could not be read and {was_or_were(skipped)} left out."
    if measured.left_out:
        yield f"Passed over in {printable(str(measured.folder))}: {measured.left_out}."
    for which, answers in (("old", measured.asked.old), ("new", measured.asked.new)):
        without = int((answers.classes < 0).sum())
        if without:
            yield f"To {count_of(without, 'image')} the {which} bundle gives logits that are not finite, and no answer."


def _machine(measured: Measured) -> str:
    return str(describe_machine()["processor"]) if measured.new.provider == "cpu" else measured.new.provider


def _class_sentences(measured: Measured) -> Iterator[str]:
    tested = [each for each in measured.classes if each.p is not None]
    beyond = [each for each in tested if each.p is not None and each.p < LEVEL]
    for which, sign in (("worse", -1), ("better", 1)):
        names = [
            f"{measured.labels.classes[each.place]} ({100 * each.recall.difference:+.1f} points)"
            for each in sorted(beyond, key=lambda each: -abs(each.recall.difference))
            if sign * each.recall.difference > 0
        ]
        if names:
            yield f"Classes that the new bundle answers {which}, beyond chance: {first_of(names, _NAMED)}."
    if not beyond:
        yield (
            f"No class changed beyond chance: {len(tested):,} of {len(measured.classes):,} had the"
            f" {FEWEST_CHANGES} changed answers that a test needs."
        )


def _label_sentences(measured: Measured) -> Iterator[str]:
    labels = measured.labels
    if labels.renamed:
        yield f"Renamed labels, taken as one: {first_of([f'{old} → {new}' for old, new in labels.renamed], _NAMED)}."
    for names, which, images in (
        (labels.removed, "old", measured.removed), (labels.added, "new", measured.added),
    ):  # fmt: skip
        if names:
            verb = "removed" if which == "old" else "added"
            yield f"Labels that were {verb}: {first_of(names, _NAMED)}. {_one_sided(images, which)}"
    for each in measured.moved:
        said = f"the new bundle calls {each.answers:,} of {count_of(each.images, 'image')} of {each.old} {each.new}"
        if each.renamed:
            yield f"Looks renamed: {said}. --rename {each.old!r}={each.new!r} compares them as one class."
        else:
            yield f"Looks like labels in another order: {said}."


def _one_sided(images: OneSided, which: str) -> str:
    if not images.images:
        return "No image is of these."
    return (
        f"Their {count_of(images.images, 'image')} {was_or_were(images.images)} not compared; the {which} bundle has"
        f" {images.correct:,} of them right."
    )


def summary(measured: Measured) -> Table:
    """Both bundles side by side."""
    old, new, both = measured.old, measured.new, measured.overall
    images = both.images
    confidences = (measured.old_confidence, measured.new_confidence)
    rows = [
        ["top-1, %", share(both.old, images), share(both.new, images), f"{100 * both.difference:+.2f}"],
        _row("NLL, nats", [each and each.nll for each in confidences], "{:.4f}", "{:+.4f}"),
        _row("ECE, %", [each and 100 * each.bins.calibration_error for each in confidences], "{:.2f}", "{:+.2f}"),
    ]
    speed = measured.speed
    if speed is not None:
        for key, name in (("p50_ms", "median"), ("p95_ms", "95th percentile")):
            rows.append(_ratio(f"latency, {name}, ms", speed.old[key], speed.new[key], "{:.3f}"))
    rows += [
        _ratio("model, MB", old.bytes / 1e6, new.bytes / 1e6, "{:.3f}"),
        _ratio("bundle, MB", old.bundle_bytes / 1e6, new.bundle_bytes / 1e6, "{:.3f}"),
        _ratio("parameters", old.parameters, new.parameters, "{:,}"),
        ["model", old.file, new.file, ""],
        ["network", old.architecture, new.architecture, ""],
        ["labels", f"{len(old.student.labels):,}", f"{len(new.student.labels):,}", ""],
        ["image size", str(old.student.preprocessing.size), str(new.student.preprocessing.size), ""],
    ]
    return Table(f"Old and new on {count_of(images, 'image')}", ["", "old", "new", "new - old"], rows)


def classes(measured: Measured, most: int | None = None) -> Table:
    """Recall and precision of each class, those that changed most certainly first.

    Args:
        measured: the classes.
        most: how many rows; None for all.
    """
    order = sorted(measured.classes, key=_certainty)
    shown = order if most is None else [each for each in order if each.recall.gained or each.recall.lost][:most]
    title = "Classes, those that changed most certainly first"
    if len(shown) < len(order):
        title += f" ({len(shown):,} of {len(order):,})"
    columns = ["class", "images", "recall old, %", "new, %", "points", "p corrected", "precision old, %", "new, %"]
    rows = []
    for each in shown:
        recall, images = each.recall, each.recall.images
        precisions = [NONE if value is None else f"{100 * value:.1f}" for value in each.precision]
        rows.append(
            [
                measured.labels.classes[each.place], f"{images:,}", percent(recall.old, images, 1),
                percent(recall.new, images, 1), _points(recall.difference) if images else NONE,
                NONE if each.p is None else p_value(each.p, alone=True), *precisions,
            ]
        )  # fmt: skip
    return Table(title, columns, rows)


def _certainty(each: ClassPair) -> tuple[float, float, float]:
    return (2.0 if each.p is None else each.p, each.recall.p, -abs(each.recall.difference))


def gates(verdicts: Sequence[Verdict]) -> Table:
    """Each gate with what was found."""
    rows = [
        [
            verdict.gate, "passed" if verdict.passed else "FAILED",
            f"{verdict.allowed:g} {_unit(verdict)}", f"{verdict.found:+.2f}", verdict.why,
        ]
        for verdict in verdicts
    ]  # fmt: skip
    return Table("Gates", ["gate", "", "allowed", "found", "why"], rows, names=2)


def _unit(verdict: Verdict) -> str:
    if not verdict.gate.endswith("-drop"):
        return "%"
    return "point" if verdict.allowed == 1 else "points"


def share(correct: int, images: int) -> str:
    """`79.11 (77.0-81.1)`: per cent with its 95 % interval (Wilson)."""
    low, high = wilson_interval(correct, images)
    return f"{percent(correct, images)} ({100 * low:.1f}–{100 * high:.1f})"


def percent(correct: int, images: int, digits: int = 2) -> str:
    """`79.11`, or a dash without images."""
    return f"{100 * correct / images:.{digits}f}" if images else NONE


def _points(difference: float) -> str:
    """`+12.5`; what rounds to nothing has no sign."""
    value = round(100 * difference, 1)
    return f"{value:+.1f}" if value else "0.0"


def _row(name: str, values: Sequence[Any], form: str, change: str) -> list[str]:
    """Values of both, None for what is not known, and their difference."""
    cells = [NONE if value is None else form.format(value) for value in values]
    return [name, *cells, "" if None in values else change.format(values[1] - values[0])]


def _ratio(name: str, old: float, new: float, form: str) -> list[str]:
    change = round(100 * (new / old - 1), 1)
    return [name, form.format(old), form.format(new), f"{change:+.1f} %" if change else "0.0 %"]
