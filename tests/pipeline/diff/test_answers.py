"""What two students answer to the same images."""

from pathlib import Path

import numpy as np
import pytest

from exporters.client import Student
from pipeline.diff.answers import BATCH, NO_ANSWER, ask

from .making import logits_of, make_bundle, make_images


def test_answers_are_those_of_the_client(tmp_path: Path) -> None:
    count = BATCH + 3  # more than a batch
    random = np.random.default_rng(0)
    tables = [random.normal(0, 2, (count, 3)).astype(np.float32) for _ in range(2)]
    students = [
        Student.load(make_bundle(tmp_path / f"{size}", ["a", "b", "c"], table, size=size))
        for size, table in zip((8, 12), tables, strict=True)
    ]
    students[1].temperature = 2.5  # its bundle is calibrated
    truth = random.integers(0, 3, count)
    root = make_images(tmp_path / "photos", ["all"] * count)
    images = [(root / "all" / f"{number:05}.png", int(label)) for number, label in enumerate(truth)]
    of_new = np.array([2, 0, 1])  # its labels are in another order
    asked = ask(*students, images, np.arange(3), of_new)
    for student, answers, of_class in zip(students, (asked.old, asked.new), (np.arange(3), of_new), strict=True):
        for row, (path, label) in enumerate(images):
            said = student.predict(path, top=3)
            classes = {int(of_class[student.labels.index(name)]): probability for name, probability in said}
            assert answers.classes[row] == next(iter(classes))
            assert answers.confidence[row] == pytest.approx(said[0][1], rel=1e-6)
            assert answers.nll[row] == pytest.approx(-np.log(classes[label]), rel=1e-5)
    assert [path for path, _label in images] == asked.images and asked.truth.tolist() == truth.tolist()


def test_unknown_class_has_no_likelihood_and_nan_no_answer(tmp_path: Path) -> None:
    table = logits_of([0, 1], 2)
    table[1] = np.nan
    student = Student.load(make_bundle(tmp_path / "bundle", ["a", "b"], table))
    root = make_images(tmp_path / "photos", ["a", "a"])
    images = [(root / "a" / "00000.png", 2), (root / "a" / "00001.png", 0)]
    asked = ask(student, student, images, np.arange(2), np.arange(2))
    assert asked.old.classes.tolist() == [0, NO_ANSWER]
    assert np.isnan(asked.old.nll).all() and np.isnan(asked.old.confidence[1])
