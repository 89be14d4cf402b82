"""Classes that a new bundle seems to call by another name."""

import numpy as np

from pipeline.diff.labels import match_labels
from pipeline.diff.moved import Moved, moved_classes


def test_renamed_class_is_recognised_under_either_folder_name() -> None:
    labels = match_labels(["cat", "dog"], ["dog", "house cat"])  # classes: cat, dog, house cat
    for folder in (0, 2):
        truth = np.array([folder] * 10 + [1] * 10)
        old, new = np.array([0] * 10 + [1] * 10), np.array([2] * 8 + [1] * 2 + [1] * 10)
        expected = (10, 8) if folder == 0 else (8, 8)
        assert moved_classes(truth, old, new, labels) == [Moved("cat", "house cat", *expected, True)]


def test_exchanged_labels_are_recognised() -> None:
    labels = match_labels(["cat", "dog", "owl"], ["cat", "dog", "owl"])
    truth = np.repeat([0, 1, 2], 10)
    new = np.repeat([1, 0, 2], 10)
    assert moved_classes(truth, truth, new, labels) == [
        Moved("cat", "dog", 10, 10, False), Moved("dog", "cat", 10, 10, False),
    ]  # fmt: skip


def test_plain_mistakes_and_few_images_are_not_taken_for_names() -> None:
    labels = match_labels(["cat", "dog"], ["cat", "dog"])
    truth = np.zeros(10, np.int64)
    assert moved_classes(truth, truth, np.repeat([0, 1], 5), labels) == []
    assert moved_classes(truth[:4], truth[:4], np.ones(4, np.int64), labels) == []
    assert moved_classes(truth, truth, np.full(10, -1), labels) == []
    assert moved_classes(truth, 1 - truth, 1 - truth, labels) == []
