"""Paired tests of two classifiers, and the correction for many classes."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.diff.pairs import FEWEST_CHANGES, LEVEL, holm, pair, pairs_by_class


def by_closed_testing(values: list[float]) -> list[float]:
    """Holm's p-values by what they are: of all intersections that hold a hypothesis, tested by Bonferroni, the largest
    (Marcus, Peritz and Gabriel, 1976)."""
    everything = range(len(values))
    return [
        max(
            min(1.0, len(some) * min(values[each] for each in some))
            for count in range(1, len(values) + 1)
            for some in combinations(everything, count)
            if number in some
        )
        for number in everything
    ]


@given(st.lists(st.floats(0, 1), max_size=7))
def test_holm_is_closed_testing_by_bonferroni(values: list[float]) -> None:
    assert holm(values) == pytest.approx(by_closed_testing(values), abs=1e-12)


def test_holm_of_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
def test_exchanging_the_two_mirrors_the_signs(answers: list[tuple[bool, bool]]) -> None:
    old, new = np.array(answers).T
    there, back = pair(old, new), pair(new, old)
    assert there.difference == -back.difference and there.p == back.p
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    assert (there.gained, there.lost, there.old, there.new) == (back.lost, back.gained, back.new, back.old)
    discordant = there.gained + there.lost
    expected = stats.binomtest(there.gained, discordant).pvalue if discordant else 1.0
    assert there.p == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (3, 3), (0, 6), (110, 36), (1900, 2100), (0, 2000)])
def test_p_values_are_those_of_the_binomial(counts: tuple[int, int]) -> None:
    gained, lost = counts
    old, new = np.repeat([False, True], [gained, lost]), np.repeat([True, False], [gained, lost])
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert pair(old, new).p == pytest.approx(expected, rel=1e-9)


def test_no_image_says_nothing() -> None:
    none = np.zeros(0, bool)
    assert pair(none, none).difference == 0 and pair(none, none).p == 1 and pair(none, none).interval == (-1, 1)


def test_each_class_is_counted_by_itself() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2])
    old, new = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 1, 0, 1, 0, -1])
    found = pairs_by_class(truth, old, new, [0, 1, 2, 3])
    assert [(each.recall.images, each.recall.gained, each.recall.lost) for each in found] == [
        (3, 1, 1), (2, 0, 1), (1, 0, 0), (0, 0, 0),
    ]  # fmt: skip
    assert [(each.answers_old, each.answers_new) for each in found] == [(3, 3), (3, 2), (0, 0), (0, 0)]
    assert found[0].precision == pytest.approx((2 / 3, 2 / 3)) and found[3].precision == (None, None)


def changed(lost: list[int], images: int = 40) -> list[float | None]:
    """Corrected p-values of classes that lost so many of 40 images."""
    truth = np.repeat(np.arange(len(lost)), images)
    new = truth.copy()
    for place, count in enumerate(lost):
        new[place * images : place * images + count] = -1
    return [each.p for each in pairs_by_class(truth, truth, new, range(len(lost)))]


def test_classes_with_too_few_changes_are_no_burden_to_the_others() -> None:
    assert 2 * 0.5 ** (FEWEST_CHANGES - 1) > LEVEL > 2 * 0.5**FEWEST_CHANGES
    alone, among = changed([8]), changed([8, *[5] * 999])
    assert alone[0] == among[0] == pytest.approx(2 * 0.5**8)
    assert among[1:] == [None] * 999


def test_tested_classes_are_corrected_for_their_number() -> None:
    found = changed([20, 10, 6, 6, 0])
    raw = [2 * 0.5**count for count in (20, 10, 6, 6)]
    assert found == [*map(pytest.approx, holm(raw)), None]
    assert found[0] == pytest.approx(4 * raw[0]) and found[2] == pytest.approx(2 * raw[2])


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_order_of_images_is_irrelevant(images: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, old, new = random.integers(0, 4, images), *(random.integers(-1, 5, (2, images)))
    order = random.permutation(images)
    classes = range(5)
    assert pairs_by_class(truth, old, new, classes) == pairs_by_class(truth[order], old[order], new[order], classes)


def test_no_class_in_twenty_is_called_worse_by_chance() -> None:
    """600 data sets of 30 classes in which both answer alike well: at most one in twenty has a class beyond chance."""
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(30), 30)
    false = 0
    for _ in range(600):
        change = random.random(len(truth))
        old, new = np.where(change < 0.15, -1, truth), np.where((change > 0.05) & (change < 0.2), -1, truth)
        false += any(each.p is not None and each.p < LEVEL for each in pairs_by_class(truth, old, new, range(30)))
    assert 0 < false <= 30
