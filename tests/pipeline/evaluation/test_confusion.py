import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.confusion import clustered_order, confusion_counts, top_confusions

answered = st.integers(2, 6).flatmap(
    lambda k: st.tuples(
        st.just(k), st.lists(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=1, max_size=60)
    )
)


@settings(deadline=None)  # the first example imports scikit-learn
@given(answered)
def test_counts_are_those_of_scikit_learn(case: tuple[int, list[tuple[int, int]]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    classes, pairs = case
    labels, answers = (np.array(each) for each in zip(*pairs, strict=True))
    expected = metrics.confusion_matrix(labels, answers, labels=list(range(classes)))
    assert np.array_equal(confusion_counts(answers, labels, classes), expected)


@given(answered, st.integers(1, 5))
def test_top_confusions_are_the_largest_counts_off_the_diagonal(
    case: tuple[int, list[tuple[int, int]]], most: int
) -> None:
    classes, pairs = case
    labels, answers = (np.array(each) for each in zip(*pairs, strict=True))
    counts = confusion_counts(answers, labels, classes)
    found = top_confusions(counts, most)
    wrong = sorted((int(counts[i, j]) for i in range(classes) for j in range(classes) if i != j), reverse=True)
    assert [pair.images for pair in found] == [count for count in wrong[:most] if count]
    assert all(pair.images == counts[pair.true, pair.answer] and pair.of == counts[pair.true].sum() for pair in found)


@settings(deadline=None)
@given(answered)
def test_order_has_every_class_once(case: tuple[int, list[tuple[int, int]]]) -> None:
    classes, pairs = case
    labels, answers = (np.array(each) for each in zip(*pairs, strict=True))
    assert sorted(clustered_order(confusion_counts(answers, labels, classes))) == list(range(classes))


def test_classes_that_are_mixed_up_stand_side_by_side() -> None:
    counts = 50 * np.eye(6, dtype=np.int64)
    for one, other in ((0, 4), (1, 5), (2, 3)):
        counts[one, other] = counts[other, one] = 20
    order = clustered_order(counts).tolist()
    assert all(abs(order.index(one) - order.index(other)) == 1 for one, other in ((0, 4), (1, 5), (2, 3)))


def test_classes_without_images_do_no_harm() -> None:
    assert sorted(clustered_order(np.zeros((4, 4), dtype=np.int64))) == [0, 1, 2, 3]
