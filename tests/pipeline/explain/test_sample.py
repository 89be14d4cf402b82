import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.explain.sample import CLASSES, PER_CLASS, looked_at, sample, shown, shown_of_arms


def test_classes_that_are_mixed_up_most_come_first() -> None:
    labels = np.repeat(np.arange(14), 10)
    answers = labels.copy()
    answers[120:126], answers[70:73] = 3, 9  # class 12 for 3, class 7 for 9
    assert looked_at(answers, labels, 14) == [12, 3, 7, 9, 0, 1, 2, 4, 5, 6][:CLASSES]


def test_class_without_images_is_not_looked_at() -> None:
    assert looked_at(np.array([2, 2, 0]), np.array([0, 0, 0]), 3) == [0]


@given(st.integers(1, 400), st.integers(1, 12), st.integers(1, 300))
def test_sample_holds_distinct_images_in_order(images: int, classes: int, most: int) -> None:
    labels = np.arange(images) % classes
    taken = sample(labels, list(range(min(3, classes))), most)
    assert len(taken) == min(images, most)
    assert np.array_equal(taken, np.unique(taken)) and (taken >= 0).all() and (taken < images).all()


def test_chosen_classes_are_in_the_sample_although_they_are_rare() -> None:
    labels = np.zeros(100_000, dtype=np.int64)
    labels[:: 100_000 // PER_CLASS] = 7
    taken = sample(labels, [7], 1000)
    assert int((labels[taken] == 7).sum()) == PER_CLASS


def test_images_on_which_the_networks_disagree_are_shown_first() -> None:
    student = np.array([True, True, False, True, False, True, False])
    other = np.array([True, False, True, True, False, True, False])
    third = np.array([True, False, True, False, False, True, True])
    labels = np.zeros(7, dtype=np.int64)
    # 1: the student alone is right; 2: alone wrong; 3 and 6: another disagreement; 4: all wrong; 0 and 5: all right
    assert shown({"student": student, "b": other, "c": third}, labels, 7).tolist() == [1, 2, 3, 6, 4, 0, 5]
    assert shown({"student": student, "b": other, "c": third}, labels, 2).tolist() == [1, 2]


def test_student_alone_shows_what_it_has_wrong_first() -> None:
    assert shown({"student": np.array([True, False, True])}, np.zeros(3, dtype=np.int64), 2).tolist() == [1, 0]


def test_images_shown_are_of_as_many_classes_as_there_are() -> None:
    labels = np.repeat(np.arange(3), 5)
    student, teacher = np.zeros(15, dtype=bool), np.ones(15, dtype=bool)
    assert shown({"student": student, "teacher": teacher}, labels, 5).tolist() == [0, 5, 10, 1, 6]


def test_arms_are_shown_in_turn_by_what_each_alone_has_right_or_wrong() -> None:
    right = {
        "a": np.array([True, False, True, True, True, False, True]),
        "b": np.array([True, True, False, True, False, False, True]),
        "c": np.array([True, False, True, False, False, False, False]),
        "d": np.array([True, False, False, True, True, False, False]),
    }
    labels = np.zeros(7, dtype=np.int64)
    # 1: b alone is right; 3: c alone is wrong; 2, 4 and 6: two of four; 5: all wrong; 0: all right
    assert shown_of_arms(right, labels, 7).tolist() == [1, 3, 2, 4, 6, 5, 0]


def test_of_two_arms_an_image_that_divides_them_is_shown_once() -> None:
    right = {"a": np.array([True, False, True]), "b": np.array([False, True, True])}
    assert shown_of_arms(right, np.zeros(3, dtype=np.int64)).tolist() == [0, 1, 2]


def test_single_arm_shows_what_it_has_wrong_first() -> None:
    assert shown_of_arms({"a": np.array([True, False])}, np.zeros(2, dtype=np.int64)).tolist() == [1, 0]


def test_arms_are_shown_on_images_of_as_many_classes_as_there_are() -> None:
    labels = np.repeat(np.arange(3), 4)
    first = np.arange(12) % 2 == 0
    rows = shown_of_arms({"a": first, "b": ~first}, labels, 6)
    assert sorted(labels[rows].tolist()) == [0, 0, 1, 1, 2, 2] and first[rows].tolist() == [True, False] * 3
