"""Two classifiers on the same images: counts, intervals and paired tests, overall and by class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exporters.parity.intervals import paired_interval
from pipeline.evaluation.paired import mcnemar_exact

LEVEL = 0.05
"""Of the tests: what happens by chance less often than that is beyond chance."""

FEWEST_CHANGES = 6
"""Of a class, for its test to be able to show anything: five changes for the worse still have p = .0625."""


@dataclass(frozen=True)
class Pair:
    """The new classifier against the old one on the same images.

    Attributes:
        images: how many, 0 or more.
        old, new: right answers of each.
        gained, lost: images that the new one alone, the old one alone, has right.
        p: of McNemar's exact test, two-sided, in [0, 1].
    """

    images: int
    old: int
    new: int
    gained: int
    lost: int
    p: float

    @property
    def difference(self) -> float:
        """Accuracy of the new one minus that of the old one, in [-1, 1]; 0 without images."""
        return (self.gained - self.lost) / self.images if self.images else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference (`paired_interval`)."""
        return paired_interval(self.gained, self.lost, self.images) if self.images else (-1.0, 1.0)


def pair(old: np.ndarray, new: np.ndarray) -> Pair:
    """Compare right answers, bool `[N]` each, N of 0 or more."""
    gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
    return Pair(len(old), int(old.sum()), int(new.sum()), gained, lost, mcnemar_exact(gained, lost).p)


@dataclass(frozen=True)
class ClassPair:
    """One class.

    Attributes:
        place: its number.
        recall: the answers to its images.
        p: corrected for the classes that were tested; None where too few answers changed to show anything.
        answers_old, answers_new: images of any class that each answered with this one.
    """

    place: int
    recall: Pair
    p: float | None
    answers_old: int
    answers_new: int

    @property
    def precision(self) -> tuple[float | None, float | None]:
        """The share of each one's answers that is right, in [0, 1]; None where it never gave this answer."""
        return (
            self.recall.old / self.answers_old if self.answers_old else None,
            self.recall.new / self.answers_new if self.answers_new else None,
        )


def pairs_by_class(truth: np.ndarray, old: np.ndarray, new: np.ndarray, classes: Sequence[int]) -> list[ClassPair]:
    """Each class by itself, with p-values that are corrected for the number of classes (`holm`).

    A class in which fewer than six answers changed is not among those that are tested. That depends on the number of
    changes alone, which McNemar's test takes as given, so that the correction holds for the others: in all of them
    together, a class that is as good as before is called worse or better in one of twenty data sets at most.

    Args:
        truth: `[N]`, classes.
        old, new: `[N]`, the answers; -1 for none.
        classes: those that are asked about.
    """
    highest = max([-1, *classes, *map(int, truth), *map(int, old), *map(int, new)]) + 2
    answers_old, answers_new = (np.bincount(answers + 1, minlength=highest)[1:] for answers in (old, new))
    order = np.argsort(truth, kind="stable")
    ends = np.searchsorted(truth[order], np.arange(highest))
    found = []
    for place in classes:
        rows = order[ends[place] : ends[place + 1]]
        found.append(pair(old[rows] == place, new[rows] == place))
    tested = [number for number, each in enumerate(found) if each.gained + each.lost >= FEWEST_CHANGES]
    corrected = dict(zip(tested, holm([found[number].p for number in tested]), strict=True))
    return [
        ClassPair(place, each, corrected.get(number), int(answers_old[place]), int(answers_new[place]))
        for number, (place, each) in enumerate(zip(classes, found, strict=True))
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number: the chance that any true hypothesis is refused stays below the level.

    The step-down method of Holm (1979), "A simple sequentially rejective multiple test procedure": the k-th smallest of
    m becomes the largest of `(m - j + 1)·p_j` over `j ≤ k`, and 1 at most.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1.0, steps)
    return [float(value) for value in corrected]
