"""Which test images the networks of a run are asked about for its page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np

from pipeline.evaluation.confusion import confusion_counts, top_confusions
from pipeline.evaluation.sampling import spread_evenly

CLASSES = 10
"""Classes whose features are drawn: more colours cannot be told apart."""

PER_CLASS = 40

IMAGES = 1000
"""Images that the networks are asked about, at most."""

SHOWN = 6
"""Images of which it is drawn where each network looks."""


def looked_at(answers: np.ndarray, labels: np.ndarray, classes: int) -> list[int]:
    """At most `CLASSES` classes, those that the student mixes up most first, the others by number.

    Args:
        answers, labels: of the student on test, `[N]`.
        classes: K.
    """
    counts = confusion_counts(answers, labels, classes)
    found: dict[int, None] = {}
    for pair in top_confusions(counts, CLASSES):
        found |= dict.fromkeys((pair.true, pair.answer))
    present = [label for label in range(classes) if counts[label].any()]
    return [label for label in {**found, **dict.fromkeys(present)} if counts[label].any()][:CLASSES]


def sample(labels: np.ndarray, chosen: Sequence[int], most: int = IMAGES) -> np.ndarray:
    """Positions int64 in the test split, in order: up to `PER_CLASS` of each chosen class, then evenly spread others.

    Args:
        labels: of the test split, `[N]`.
        chosen: classes that come first.
        most: images.
    """
    first: list[int] = []
    for label in chosen:
        own = np.flatnonzero(labels == label)
        first += own[spread_evenly(len(own), min(PER_CLASS, most // max(1, len(chosen))))].tolist()
    some = np.array(sorted(first[:most]), dtype=np.int64)
    left = most - len(some)
    if left > 0 and len(some) < len(labels):
        some = np.concatenate([some, spread_evenly(len(labels), left, without=some)])
    return np.sort(some)


def shown(right: Mapping[str, np.ndarray], labels: np.ndarray, most: int = SHOWN) -> np.ndarray:
    """Rows of the sample that are drawn: first those on which the networks disagree, of many classes.

    Args:
        right: network → whether it is right, bool `[M]`; the student first.
        labels: of the sample, `[M]`.
        most: rows.

    Returns:
        int64, at most `most`. In turn: the student alone is right, the student alone is wrong, another disagreement;
        when these are used up, images that all have wrong, then images that all have right. Each kind begins with an
        image of each of its classes.
    """
    student, *others = right.values()
    every, some = np.all([student, *others], axis=0), np.any([student, *others], axis=0)
    alone_right = student & ~np.any(others, axis=0) if others else np.zeros_like(student)
    alone_wrong = ~student & np.all(others, axis=0) if others else np.zeros_like(student)
    disagreements = [alone_right, alone_wrong, some & ~every & ~alone_right & ~alone_wrong]
    in_turn = zip_longest(*(_class_by_class(kind, labels) for kind in disagreements))
    rows = [row for turn in in_turn for row in turn if row is not None]
    rows += _class_by_class(~some, labels) + _class_by_class(every, labels)
    return np.array(rows[:most], dtype=np.int64)


def shown_of_arms(right: Mapping[str, np.ndarray], labels: np.ndarray, most: int = SHOWN) -> np.ndarray:
    """Rows of the sample that are drawn where no network is more important than the others.

    Args:
        right: network → whether it is right, bool `[M]`.
        labels: of the sample, `[M]`.
        most: rows.

    Returns:
        int64, at most `most`. In turn, for each network: it alone is right, it alone is wrong; then other
        disagreements, then images that all have wrong, then images that all have right. Of each kind comes first an
        image of the class of which there are fewest yet.
    """
    table = np.stack(list(right.values()))
    count, networks = table.sum(axis=0), len(table)
    kinds = ([own & (count == 1), ~own & (count == networks - 1)] for own in table)
    # Of two, one is alone right where the other is alone wrong.
    alone = [kind for pair in kinds for kind in pair[: networks - 1]]
    others = (count > 1) & (count < networks - 1)
    rows: dict[int, None] = {}
    shown_classes: Counter[int] = Counter()
    for kinds_in_turn in (alone, [others], [count == 0], [count == networks]):
        left = [np.flatnonzero(kind).tolist() for kind in kinds_in_turn]
        while len(rows) < most and any(left):
            for own in left:
                own[:] = [row for row in own if row not in rows]
                if own and len(rows) < most:
                    row = min(own, key=lambda row: shown_classes[int(labels[row])])
                    rows[row] = None
                    shown_classes[int(labels[row])] += 1
    return np.array(list(rows), dtype=np.int64)


def _class_by_class(kind: np.ndarray, labels: np.ndarray) -> list[int]:
    """The rows that are of a kind: the first of each class, then the second of each, and so on."""
    rows = np.flatnonzero(kind)
    own = [rows[labels[rows] == label].tolist() for label in np.unique(labels[rows])]
    return [row for turn in zip_longest(*own) for row in turn if row is not None]
