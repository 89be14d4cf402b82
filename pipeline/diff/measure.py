"""Everything that is measured on two bundles and the same labelled images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporters.core.errors import UnavailableError
from exporters.core.progress import working
from exporters.images.labelled import LabelledImages, labelled_images
from pipeline.diff.answers import Answers, Asked, ask
from pipeline.diff.bundles import Bundle
from pipeline.diff.labels import LabelMatch, match_labels
from pipeline.diff.moved import Moved, moved_classes
from pipeline.diff.pairs import ClassPair, Pair, pair, pairs_by_class
from pipeline.diff.speed import Speed, time_both
from pipeline.evaluation.probabilities import Reliability, reliability


@dataclass(frozen=True)
class Confidence:
    """How good one student's probabilities are.

    Attributes:
        nll: mean of `-log p(label)` in nats.
        bins: confidence and accuracy; its `calibration_error` is the ECE.
    """

    nll: float
    bins: Reliability


@dataclass(frozen=True)
class OneSided:
    """Images of classes that one bundle alone has: out of everything that is paired.

    Attributes:
        images: how many.
        correct: those that the bundle which has their class answers rightly.
    """

    images: int
    correct: int


@dataclass(frozen=True)
class Measured:
    """Two bundles on the same images. What is paired is of the images whose class both have.

    Attributes:
        old, new: the bundles.
        labels: of both.
        folder: where the images' class folders lie.
        left_out: what was passed over there, as one line; empty where nothing was.
        asked: all answers.
        rows: places of the paired images among all.
        overall: all paired images.
        classes: each common class, in the order of the labels.
        agreement: paired images that both answer with the same class.
        old_confidence, new_confidence: over the paired images; None where a logit is not finite.
        removed, added: images of classes of the old, of the new bundle alone.
        moved: classes that the new bundle seems to call by another name.
        speed: None where it was not measured.
    """

    old: Bundle
    new: Bundle
    labels: LabelMatch
    folder: Path
    left_out: str
    asked: Asked
    rows: np.ndarray
    overall: Pair
    classes: list[ClassPair]
    agreement: int
    old_confidence: Confidence | None
    new_confidence: Confidence | None
    removed: OneSided
    added: OneSided
    moved: list[Moved]
    speed: Speed | None

    @property
    def lost(self) -> np.ndarray:
        """Places of the images that changed from right to wrong, the surest wrong answers first."""
        return self._changed(self.asked.old, self.asked.new)

    @property
    def gained(self) -> np.ndarray:
        """Places of the images that changed from wrong to right, the surest right answers first."""
        return self._changed(self.asked.new, self.asked.old)

    def _changed(self, right: Answers, wrong: Answers) -> np.ndarray:
        truth = self.asked.truth[self.rows]
        rows = self.rows[(right.classes[self.rows] == truth) & (wrong.classes[self.rows] != truth)]
        return rows[np.argsort(-np.nan_to_num(self.asked.new.confidence[rows], nan=2.0), kind="stable")]


def measure(
    old: Bundle,
    new: Bundle,
    data: Path,
    *,
    renames: Mapping[str, str] | None = None,
    skip_unreadable: bool = False,
    threads: int = 1,
    seconds: float | None = 2.0,
) -> Measured:
    """Ask both bundles about each image below `data`, and time them.

    Args:
        old, new: the bundles.
        data: `<label>/<image>`, below it or its test or validation split (`labelled_images`).
        renames: old label → new label, where the names do not tell.
        skip_unreadable: whether images that cannot be decoded are left out.
        threads: of the processor, for the latency.
        seconds: about how long each model is timed; None: not at all.

    Raises:
        UsageError: no common label, a wrong rename, no such folder, or folders that no bundle has a label for.
        UnavailableError: an image cannot be decoded, or no image has a class that both bundles have.
    """
    labels = match_labels(old.student.labels, new.student.labels, renames)
    found = _images(data, labels)
    asked = ask(old.student, new.student, found.images, labels.of_old, labels.of_new, skip_unreadable=skip_unreadable)
    return _measured(old, new, labels, found, asked, _speed(old, new, asked, threads, seconds))


def _images(data: Path, labels: LabelMatch) -> LabelledImages:
    names, places = labels.folders()
    found = labelled_images(data, names)
    images = [(path, places[position]) for path, position in found.images]
    if not labels.common[[place for _path, place in images]].any():
        raise UnavailableError(
            f"{found.folder}: no image is of a class that both bundles have",
            remedy="--rename OLD=NEW says which labels of the two bundles are the same.",
        )
    return LabelledImages(found.folder, images, found.left_out)


def _speed(old: Bundle, new: Bundle, asked: Asked, threads: int, seconds: float | None) -> Speed | None:
    if seconds is None:
        return None
    with working("measuring the latency"):
        return time_both(
            old.load(threads), new.load(threads), asked.old.sample, asked.new.sample, threads=threads, seconds=seconds
        )


def _measured(
    old: Bundle, new: Bundle, labels: LabelMatch, found: LabelledImages, asked: Asked, speed: Speed | None
) -> Measured:
    common = labels.common
    rows = np.flatnonzero(common[asked.truth])
    if not len(rows):
        raise UnavailableError(f"{found.folder}: no image of a class that both bundles have can be read")
    truth, first, second = asked.truth[rows], asked.old.classes[rows], asked.new.classes[rows]
    return Measured(
        old=old,
        new=new,
        labels=labels,
        folder=found.folder,
        left_out=found.left_out,
        asked=asked,
        rows=rows,
        overall=pair(first == truth, second == truth),
        classes=pairs_by_class(truth, first, second, [int(place) for place in np.flatnonzero(common)]),
        agreement=int(((first == second) & (first >= 0)).sum()),
        old_confidence=_confidence(asked.old, rows, truth),
        new_confidence=_confidence(asked.new, rows, truth),
        removed=_one_sided(asked.old, asked.truth, labels.of_old, common),
        added=_one_sided(asked.new, asked.truth, labels.of_new, common),
        moved=moved_classes(asked.truth, asked.old.classes, asked.new.classes, labels),
        speed=speed,
    )


def _confidence(answers: Answers, rows: np.ndarray, truth: np.ndarray) -> Confidence | None:
    confidence, nll = answers.confidence[rows], answers.nll[rows]
    if not np.isfinite(confidence).all():
        return None
    return Confidence(float(nll.mean()), reliability(confidence, answers.classes[rows] == truth))


def _one_sided(answers: Answers, truth: np.ndarray, own: Sequence[int] | np.ndarray, common: np.ndarray) -> OneSided:
    mine = np.isin(truth, own) & ~common[truth]
    return OneSided(int(mine.sum()), int((answers.classes[mine] == truth[mine]).sum()))
