import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.parity.chance import interval_text
from pipeline.report.page.class_tables import CLASSES, class_tables, confusions, counts_of
from tests.pipeline.report.page.made_up import ended_at, validated

NAMES = ["ant", "bee", "cat"]
LABELS, ANSWERS = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 1, 1, 0, 2])


def test_classes_are_told_by_hand_counts_worst_first() -> None:
    table = dict(class_tables(validated(NAMES, LABELS, ANSWERS)))["classes"]
    assert [row[:3] for row in table.rows] == [["ant", "4", "50.0"], ["cat", "2", "50.0"], ["bee", "2", "100.0"]]
    assert table.rows[0][3:] == [interval_text(0.5, 4), "3", "66.7", "bee (2)"]
    assert table.rows[2][4:] == ["4", "50.0", ""]


def test_pairs_that_are_mixed_up_come_with_counts_and_shares() -> None:
    table = dict(class_tables(validated(NAMES, LABELS, ANSWERS)))["confusions"]
    assert table.rows == [["ant", "bee", "2", "50.0"], ["cat", "ant", "1", "50.0"]]


def test_of_very_many_classes_the_worst_are_listed_and_the_caption_says_so() -> None:
    classes = [f"class {number}" for number in range(CLASSES + 5)]
    labels = np.arange(len(classes))
    answers = labels.copy()
    answers[7] = 8
    table = dict(class_tables(validated(classes, labels, answers)))["classes"]
    assert len(table.rows) == CLASSES and table.rows[0][:3] == ["class 7", "1", "0.0"]
    assert table.title.endswith("the worst 1,000 of 1,005")


def test_run_that_was_not_validated_has_none() -> None:
    assert list(class_tables(ended_at(validated(NAMES, LABELS, ANSWERS), "validate"))) == []


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_every_figure_agrees_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    labels, answers = np.array(pairs).T
    facts = validated(NAMES, labels, answers)
    assert np.array_equal(counts_of(facts), metrics.confusion_matrix(labels, answers, labels=[0, 1, 2]))
    precision, recall, _f1, images = metrics.precision_recall_fscore_support(
        labels, answers, labels=[0, 1, 2], zero_division=0
    )
    for row in dict(class_tables(facts))["classes"].rows:
        label = NAMES.index(row[0])
        assert int(row[1]) == images[label] and float(row[2]) == pytest.approx(100 * recall[label], abs=0.05001)
        if row[5]:
            assert float(row[5]) == pytest.approx(100 * precision[label], abs=0.05001)
    assert sum(pair.images for pair in confusions(facts)) == int((labels != answers).sum())
