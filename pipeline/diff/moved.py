"""Classes that a new bundle seems to call by another name: renamed, or labels in another order."""

from dataclasses import dataclass

import numpy as np

from pipeline.diff.labels import LabelMatch

FEWEST_IMAGES = 5
"""Of a class, for its answers to say anything about names."""


@dataclass(frozen=True)
class Moved:
    """One class.

    Attributes:
        old, new: the name that the old, and that the new bundle gives it.
        images: of the class, that the bundle which has their class answers rightly.
        answers: of them, those that the other bundle calls by the other name; more than half.
        renamed: whether each name is in one bundle alone, so that it is one class under two names; else both bundles
            have both names, and the labels of one of them are in another order.
    """

    old: str
    new: str
    images: int
    answers: int
    renamed: bool


def moved_classes(truth: np.ndarray, old: np.ndarray, new: np.ndarray, labels: LabelMatch) -> list[Moved]:
    """Classes of which one bundle answers most images with one other class.

    Args:
        truth: `[N]`, the class of each image.
        old, new: `[N]`, the answers of each bundle; -1 for none.
        labels: of both.
    """
    classes, common = labels.classes, labels.common
    in_old = np.isin(np.arange(len(classes)), labels.of_old)
    found: dict[tuple[str, str], Moved] = {}
    for place in np.unique(truth):
        known, other = (old, new) if in_old[place] else (new, old)
        right = (truth == place) & (known == place)
        answers = other[right & (other >= 0)]
        if right.sum() < FEWEST_IMAGES or not len(answers):
            continue
        counts = np.bincount(answers)
        called = int(counts.argmax())
        if called == place or 2 * counts[called] <= right.sum() or common[place] != common[called]:
            continue
        names = (classes[place], classes[called]) if in_old[place] else (classes[called], classes[place])
        found.setdefault(names, Moved(names[0], names[1], int(right.sum()), int(counts[called]), not common[place]))
    return list(found.values())
