"""Which classes are taken for which: counts, the pairs that are mixed up most, and an order that puts them together."""

from typing import NamedTuple

import numpy as np


class Confusion(NamedTuple):
    """Images of one class that were taken for another.

    Attributes:
        true, answer: the classes.
        images: how many.
        of: images of the true class.
    """

    true: int
    answer: int
    images: int
    of: int


def confusion_counts(answers: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """int64 `[K, K]`: images by true class (row) and answer (column).

    Args:
        answers, labels: `[N]`, in 0 to K - 1.
        classes: K.
    """
    pairs = labels.astype(np.int64) * classes + answers.astype(np.int64)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def top_confusions(counts: np.ndarray, most: int) -> list[Confusion]:
    """The pairs with most images of `counts` `[K, K]`, most first; of equal ones those of the lower classes."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    classes, totals = len(counts), counts.sum(axis=1)
    best = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [(int(place) // classes, int(place) % classes) for place in best]
    return [
        Confusion(row, column, int(wrong[row, column]), int(totals[row])) for row, column in pairs if wrong[row, column]
    ]


def clustered_order(counts: np.ndarray) -> np.ndarray:
    """Classes `[K]` in an order in which those that are mixed up stand together.

    Average linkage over `1 - s / max s`, where `s` is the share of two classes that is taken for the other, in both
    directions; scipy's optimal order of the leaves.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(counts) < 3:
        return np.arange(len(counts))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    mixed = shares + shares.T
    np.fill_diagonal(mixed, 0)
    if not mixed.any():
        return np.arange(len(counts))
    distances = 1 - mixed / mixed.max()
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), method="average", optimal_ordering=len(counts) <= 500)
    return leaves_list(tree)
