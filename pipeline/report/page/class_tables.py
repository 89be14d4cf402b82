"""The tables of the classes: how many of each are right, and what is taken for what."""

from collections.abc import Iterator

import numpy as np

from exporters.parity.chance import interval_text
from pipeline.evaluation.confusion import Confusion, confusion_counts, top_confusions
from pipeline.report.page.facts import Facts
from pipeline.report.page.table import Table

CONFUSIONS = 10
"""Pairs of classes that are listed, at most."""

CLASSES = 1_000
"""Classes in the table, at most: the worst. All are in the file beside the page."""


def class_tables(facts: Facts) -> Iterator[tuple[str, Table]]:
    """Accuracy by class and top confusions, each with the name of the place where it stands."""
    if facts.verdict is None or facts.index is None or not facts.predictions:
        return
    columns = ["class", "images", "right, %", "95 % interval", "answers", "of these right, %", "most often taken for"]
    rows = _class_rows(facts)
    some = f": the worst {CLASSES:,} of {len(rows):,}" if len(rows) > CLASSES else ""
    yield "classes", Table(f"Accuracy on test, class by class{some}", columns, rows[:CLASSES], texts=(columns[-1],))
    yield (
        "confusions",
        Table(
            "What is taken for what most often, on test",
            ["class", "taken for", "images", "of the class, %"],
            [_confusion_row(pair, facts.index.classes) for pair in confusions(facts)],
            names=2,
        ),
    )


def counts_of(facts: Facts) -> np.ndarray:
    """int64 `[K, K]`: test images by true class (row) and answer (column) of the student that ships."""
    assert facts.index is not None
    found = facts.predictions
    return confusion_counts(found["chosen.test"], found["labels.test"], len(facts.index.classes))


def confusions(facts: Facts) -> list[Confusion]:
    """The pairs of classes that the student mixes up most on test."""
    return top_confusions(counts_of(facts), CONFUSIONS)


def _confusion_row(pair: Confusion, classes: list[str]) -> list[str]:
    return [classes[pair.true], classes[pair.answer], f"{pair.images:,}", f"{100 * pair.images / pair.of:.1f}"]


def _class_rows(facts: Facts) -> list[list[str]]:
    """The worst first; classes without test images are left out."""
    assert facts.index is not None
    counts, classes = counts_of(facts), facts.index.classes
    images, answers, right = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    known = [label for label in range(len(classes)) if images[label]]
    rows = []
    for label in sorted(known, key=lambda label: (right[label] / images[label], classes[label])):
        share, other = right[label] / images[label], int(wrong[label].argmax())
        rows.append(
            [
                classes[label],
                f"{images[label]:,}",
                f"{100 * share:.1f}",
                interval_text(share, int(images[label])),
                f"{answers[label]:,}",
                f"{100 * right[label] / answers[label]:.1f}" if answers[label] else "",
                f"{classes[other]} ({wrong[label, other]:,})" if wrong[label, other] else "",
            ]
        )
    return rows
