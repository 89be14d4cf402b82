"""The numbers of a page in full, as CSV and JSON beside it."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from exporters.parity.intervals import wilson_interval
from pipeline.explain.cost import Costs
from pipeline.explain.evidence import Evidence
from pipeline.report.page.class_tables import counts_of
from pipeline.report.page.facts import Facts


def numbers(facts: Facts, evidence: Evidence | None, costs: Costs | None) -> Iterator[tuple[str, str]]:
    """Files by name, with what is in them, as far as it is known.

    `classes.csv`: each class with its test images, the answers that name it, and the right ones. `confusions.csv`: each
    pair of classes of which one is taken for the other, most first. `view_weights.csv`: mean weight of each view by
    class, of the sample that the teacher was asked about. `costs.json`, `corruptions.json`: the tables of these names.
    """
    if facts.index is not None and facts.predictions and facts.verdict is not None:
        counts, names = counts_of(facts), facts.index.classes
        columns = ["class", "images", "answers", "right", "accuracy", "interval_low", "interval_high", "precision"]
        yield "classes.csv", _csv(columns, _classes(counts, names))
        yield "confusions.csv", _csv(["class", "taken_for", "images"], _confusions(counts, names))
    if evidence is not None and facts.index is not None:
        if evidence.views is not None:
            rows = _view_weights(evidence, facts.index.classes)
            yield "view_weights.csv", _csv(["class", "images", *evidence.views.names], rows)
        if evidence.corrupted:
            yield "corruptions.json", _json({"images": evidence.corrupted_images, "top1": evidence.corrupted})
    if costs is not None:
        networks = [each.to_json() for each in costs.networks]
        yield "costs.json", _json({"processor": costs.processor, "threads": costs.threads, "networks": networks})


def _classes(counts: np.ndarray, names: Sequence[str]) -> Iterator[list[object]]:
    for label, name in enumerate(names):
        images, answers, right = (
            int(each) for each in (counts[label].sum(), counts[:, label].sum(), counts[label, label])
        )
        accuracy = [right / images, *wilson_interval(right, images)] if images else ["", "", ""]
        yield [name, images, answers, right, *accuracy, right / answers if answers else ""]


def _confusions(counts: np.ndarray, names: Sequence[str]) -> Iterator[list[object]]:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    rows, columns = np.nonzero(wrong)
    for place in np.argsort(-wrong[rows, columns], kind="stable"):
        row, column = rows[place], columns[place]
        yield [names[row], names[column], int(wrong[row, column])]


def _view_weights(evidence: Evidence, names: Sequence[str]) -> Iterator[list[object]]:
    assert evidence.views is not None
    for label in np.unique(evidence.labels):
        own = evidence.views.weights[evidence.labels == label]
        yield [names[label], len(own), *(round(float(weight), 6) for weight in own.mean(axis=0))]


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([columns, *rows])
    return stream.getvalue()


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
