"""What two students answer to the same images, each decoded once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from exporters.client import Student
from exporters.core.errors import UnavailableError
from exporters.core.progress import counted
from exporters.images.decoding import UnreadableImageError, open_rgb
from pipeline.evaluation.probabilities import log_probabilities

BATCH = 32

NO_ANSWER = -1
"""The answer where a logit is not finite."""


@dataclass(frozen=True)
class Answers:
    """Of one student to N images.

    Attributes:
        classes: `[N]` int64, the most probable one; `NO_ANSWER` where a logit is NaN or infinite.
        confidence: `[N]` float64, its probability in [0, 1]; NaN without an answer.
        nll: `[N]` float64, minus the logarithm of the true class's probability, in nats; NaN without an answer, or
            where the student does not know that class.
        sample: uint8 `[1, size, size, 3]`, the first image as the student takes it.
    """

    classes: np.ndarray
    confidence: np.ndarray
    nll: np.ndarray
    sample: np.ndarray


@dataclass(frozen=True)
class Asked:
    """Both students' answers.

    Attributes:
        old, new: the answers.
        images: `[N]` paths, in their order.
        truth: `[N]` int64, the class of each.
        unreadable: a message for each image that was left out.
    """

    old: Answers
    new: Answers
    images: list[Path]
    truth: np.ndarray
    unreadable: list[str]


@dataclass
class _Collected:
    student: Student
    of_class: np.ndarray
    place: dict[int, int]
    parts: list[np.ndarray] = field(default_factory=list)
    sample: np.ndarray | None = None

    def add(self, prepared: np.ndarray, truth: Sequence[int]) -> None:
        logits = self.student.logits(prepared) / self.student.temperature  # probabilities as the client gives them
        self.parts.append(_answers(logits, [self.place.get(label, -1) for label in truth], self.of_class))
        self.sample = prepared[:1] if self.sample is None else self.sample

    def result(self) -> Answers:
        assert self.sample is not None
        classes, confidence, nll = np.concatenate(self.parts).T
        return Answers(classes.astype(np.int64), confidence, nll, self.sample)


def ask(
    old: Student,
    new: Student,
    images: Sequence[tuple[Path, int]],
    of_old: np.ndarray,
    of_new: np.ndarray,
    *,
    skip_unreadable: bool = False,
) -> Asked:
    """Ask both students about the images.

    Args:
        old, new: the students; they may take images of different sizes.
        images: path and class of each.
        of_old, of_new: the class of each of their labels.
        skip_unreadable: whether images that cannot be decoded are left out, rather than raised.

    Raises:
        UnavailableError: an image cannot be decoded and none is to be left out, or not one can be; names the first.
    """
    students = [
        _Collected(student, of_class, {int(label): place for place, label in enumerate(of_class)})
        for student, of_class in ((old, of_old), (new, of_new))
    ]
    unreadable: list[str] = []
    kept: list[tuple[Path, int]] = []
    same = old.preprocessing == new.preprocessing
    for part in counted(_parts(images), "images", len(images), len):
        found: list[tuple[np.ndarray, np.ndarray]] = []
        labels = []
        for path, label in part:
            try:
                picture = open_rgb(path)
                ours = old.prepare(picture)
                found.append((ours, ours if same else new.prepare(picture)))
            except UnreadableImageError as error:
                if not skip_unreadable:
                    raise UnavailableError(
                        error.message, remedy="--on-error skip leaves out such images, and counts them."
                    ) from error
                unreadable.append(error.message)
                continue
            kept.append((path, label))
            labels.append(label)
        if found:
            for student, prepared in zip(students, zip(*found, strict=True), strict=True):
                student.add(np.stack(prepared), labels)
    if not kept:
        raise UnavailableError(f"none of {len(images):,} images can be read; {unreadable[0]}")
    first, second = (student.result() for student in students)
    truth = np.array([label for _path, label in kept], dtype=np.int64)
    return Asked(first, second, [path for path, _label in kept], truth, unreadable)


def _parts(images: Sequence[tuple[Path, int]]) -> Iterator[Sequence[tuple[Path, int]]]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


def _answers(logits: np.ndarray, truth: Sequence[int], of_class: np.ndarray) -> np.ndarray:
    """Class, confidence and NLL of each image, `[B, 3]` float64.

    Args:
        logits: `[B, K]`.
        truth: the place of each image's label among the K; -1 for none.
        of_class: `[K]`.
    """
    finite = np.isfinite(logits).all(axis=1)
    logarithms = log_probabilities(np.where(finite[:, None], logits, 0))
    places = np.asarray(truth)
    known = finite & (places >= 0)
    nll = np.where(known, -logarithms[np.arange(len(logits)), places], np.nan)
    best = logits.argmax(axis=1)
    confidence = np.where(finite, np.exp(logarithms.max(axis=1)), np.nan)
    return np.stack([np.where(finite, of_class[best], NO_ANSWER), confidence, nll], axis=1)
