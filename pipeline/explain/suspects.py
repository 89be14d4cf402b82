"""A finished run's student asked about the labels of a data set."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporters.client import Student
from exporters.core.arrays import softmax
from exporters.core.errors import TmkdError, UnavailableError, UsageError
from pipeline.console import Console
from pipeline.data.checking import available_processors
from pipeline.data.copies import content_groups
from pipeline.data.index import DataIndex, IndexedSplit
from pipeline.data.listing import Listing, SplitName
from pipeline.data.path_table import printable
from pipeline.data.stores.base import Store
from pipeline.data.stores.registry import open_store
from pipeline.evaluation.label_suspects import label_suspects

METHOD = (
    "confident learning (Northcutt, Jiang and Chuang 2021): the student is at least as sure of another class as it is"
    " of that class's own images on average; the widest margin first"
)

LISTED = 1000
"""Images that are named of each kind, at most."""

_BATCH = 64


@dataclass(frozen=True)
class Suspect:
    """An image whose label the student contradicts.

    Attributes:
        split: of the data set.
        key: in its store.
        label, answer: classes.
        of_label, of_answer: the probability of each, in [0, 1].
    """

    split: SplitName
    key: str
    label: str
    answer: str
    of_label: float
    of_answer: float

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "path": printable(self.key),
            "split": self.split,
            "label": self.label,
            "answer": self.answer,
            "label_probability": round(self.of_label, 4),
            "answer_probability": round(self.of_answer, 4),
            "margin": round(self.of_answer - self.of_label, 4),
        }


@dataclass(frozen=True)
class SuspectList:
    """What the student says about some images.

    Attributes:
        images: asked about.
        right: number of them whose label is the student's answer.
        count: of suspects.
        first: the first of them, at most `LISTED`.
    """

    images: int
    right: int
    count: int
    first: tuple[Suspect, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        found = [suspect.to_json() for suspect in self.first]
        return {"images": self.images, "right": self.right, "count": self.count, "suspects": found}


@dataclass(frozen=True)
class LabelSuspects:
    """What a run's student says about the labels of a data set.

    Attributes:
        run: its directory.
        unseen: of the images that it was not trained on.
        trained_on: of those that it was trained on, whose labels it has learnt: wrong ones among them are often missed.
    """

    run: str
    unseen: SuspectList
    trained_on: SuspectList

    @property
    def count(self) -> int:
        """Of all suspects."""
        return self.unseen.count + self.trained_on.count

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        lists = {"unseen": self.unseen.to_json(), "trained_on": self.trained_on.to_json()}
        return {"run": self.run, "method": METHOD, **lists}


def load_student(run: Path, classes: list[str]) -> tuple[Student, list[int]]:
    """The student that a run ships, and for each of the data set's classes its place among the student's.

    Raises:
        UsageError: no run directory, or a run of other classes.
        UnavailableError: a run that has not finished; or as `Student.load`.
    """
    if not (run / "recipe.lock.yaml").is_file():
        raise UsageError(
            f"--run {run} is no run directory: it has no recipe.lock.yaml",
            remedy="Name the directory of a finished run, such as runs/quickstart.",
        )
    if not (run / "bundle").is_dir():
        raise UnavailableError(
            f"--run {run}: the run has not finished, and there is no bundle with its student",
            remedy=f"tmkd-pipeline run {run}/recipe.lock.yaml --run-dir {run}",
        )
    student = Student.load(run / "bundle")
    if sorted(student.labels) != sorted(classes):
        missing = sorted(set(classes) - set(student.labels)) or sorted(set(student.labels) - set(classes))
        raise UsageError(
            f"--run {run}: its student knows other classes than the data set, {len(student.labels):,} of them against"
            f" {len(classes):,}; {missing[0]!r} is only on one side",
            remedy="Inspect the data set that the run was trained on, or one with the same classes.",
        )
    return student, [student.labels.index(name) for name in classes]


def ask_about_labels(
    run: Path, listing: Listing, splits: Mapping[SplitName, IndexedSplit], console: Console
) -> LabelSuspects:
    """Ask the student of a finished run about every image.

    Images that it was trained on are known by their content, from the run's own index.

    Args:
        run: its directory.
        listing: the data set.
        splits: its images; those that cannot be read any more are left out.
        console: shows how far the work is.

    Raises:
        UsageError, UnavailableError, GateError: as `load_student`; or the run's index cannot be read.
    """
    student, places = load_student(run, listing.classes)
    trained = DataIndex.load(run / "data").splits["train"].sha256
    store = open_store(listing.store, listing.root)
    names = [name for name, split in splits.items() if len(split)]
    labels = np.concatenate([splits[name].labels for name in names])
    owner = np.repeat(np.arange(len(names)), [len(splits[name]) for name in names])
    place = np.concatenate([np.arange(len(splits[name])) for name in names])
    answers = np.full(len(labels), -1, np.int64)
    of_label, of_answer = np.zeros(len(labels), np.float32), np.zeros(len(labels), np.float32)
    with console.track("asking the student about labels", len(labels)) as bar:
        for rows, logits in _logits(student, store, splits, names, owner, place):
            probabilities = softmax(logits[:, places])
            answers[rows] = probabilities.argmax(axis=1)
            of_label[rows] = probabilities[np.arange(len(rows)), labels[rows]]
            of_answer[rows] = probabilities.max(axis=1)
            bar.advance(len(rows))
    groups = content_groups(trained, *(splits[name].sha256 for name in names))
    seen = np.isin(groups[len(trained) :], groups[: len(trained)])

    def listed(chosen: np.ndarray) -> SuspectList:
        rows = np.flatnonzero(chosen & (answers >= 0))
        found = label_suspects(labels[rows], answers[rows], of_label[rows], of_answer[rows])
        first = tuple(
            Suspect(
                names[owner[row]],
                splits[names[owner[row]]].paths[int(place[row])],
                listing.classes[labels[row]],
                listing.classes[answers[row]],
                float(of_label[row]),
                float(of_answer[row]),
            )
            for row in rows[found.positions[:LISTED]].tolist()
        )
        return SuspectList(len(rows), int((answers[rows] == labels[rows]).sum()), len(found.positions), first)

    return LabelSuspects(str(run), listed(~seen), listed(seen))


def _logits(
    student: Student,
    store: Store,
    splits: Mapping[SplitName, IndexedSplit],
    names: list[SplitName],
    owner: np.ndarray,
    place: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows int64 `[B]` of images that can be read, and their logits `[B, K]`."""

    def prepared(row: int) -> np.ndarray | None:
        try:
            return student.preprocessing.apply(store.image(splits[names[owner[row]]].paths[int(place[row])]))
        except (TmkdError, OSError):
            return None

    with ThreadPoolExecutor(available_processors()) as pool:
        for start in range(0, len(owner), _BATCH):
            rows = range(start, min(start + _BATCH, len(owner)))
            images = list(pool.map(prepared, rows))
            good = [(row, image) for row, image in zip(rows, images, strict=True) if image is not None]
            if good:
                yield np.array([row for row, _image in good]), student.logits(np.stack([image for _row, image in good]))
