"""The chance level and what lies above it, against exact fractions, SciPy and simulated guessing."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.parity.chance import (
    are_too_few,
    chance_level,
    describe,
    describe_score,
    has_learned,
    interval_text,
    is_above_chance,
    not_above_chance,
)
from exporters.parity.intervals import wilson_interval
from pipeline.evaluation.metrics import score


@pytest.mark.parametrize(
    ("labels", "expected"), [([0, 1, 2, 3], 0.25), ([0, 0, 0, 2], 0.75), ([1], 1.0), ([5, 4, 5, 4, 5, 3, 3, 3], 3 / 8)]
)
def test_chance_level_is_the_share_of_the_commonest_class(labels: list[int], expected: float) -> None:
    assert chance_level(np.array(labels)) == expected


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 400), st.data())
def test_above_chance_agrees_with_scipys_wilson_interval(images: int, data: st.DataObject) -> None:
    stats = pytest.importorskip("scipy.stats")
    correct = data.draw(st.integers(0, images))
    chance = float(Fraction(data.draw(st.integers(1, images)), images))
    low = stats.binomtest(correct, images).proportion_ci(0.95, method="wilson").low
    if abs(low - chance) > 1e-6:
        assert is_above_chance(correct, images, chance) == (low > chance)


def test_above_chance_needs_enough_correct_answers() -> None:
    # Two classes as frequent as each other.
    assert not is_above_chance(8, 10, 0.5) and is_above_chance(9, 10, 0.5)
    assert is_above_chance(15, 20, 0.5) and not is_above_chance(14, 20, 0.5)


def test_guessing_is_seldom_called_learning() -> None:
    """Of 2,000 students that guess among four classes, at most one in forty is above the upper side of its interval."""
    hits = np.random.default_rng(0).binomial(400, 0.25, size=2000)
    assert np.mean([is_above_chance(int(correct), 400, 0.25) for correct in hits]) < 0.04


def test_answering_the_commonest_class_is_not_learning() -> None:
    labels = np.array([0] * 70 + [1] * 20 + [2] * 10)
    constant = np.zeros((100, 3))
    constant[:, 0] = 1
    measured = score(constant, labels)
    assert measured["top1"] == 0.7 and measured["chance"] == 0.7 and not has_learned(measured)
    right = np.eye(3)[labels]
    assert has_learned(score(right, labels))


def test_accuracy_is_described_beside_its_chance_level() -> None:
    expected = (
        "21.88 % (95 % interval 13.5 to 33.4) on 64 test images, where always answering the commonest class gives"
        " 20.31 %"
    )
    assert describe(14 / 64, 64, 13 / 64, "test") == expected
    assert describe_score({"top1": 14 / 64, "images": 64, "chance": 13 / 64}, "test") == expected
    assert interval_text(0.0, 20) == "0.0–16.1" and interval_text(1.0, 20, " to ") == "83.9 to 100.0"


def test_few_images_and_chance_level_are_told_apart() -> None:
    # Wilson intervals by SciPy, two classes: 6 in 10 is 31.3 to 83.2 %, 60 in 120 is 41.2 to 58.8 %; useful is 62.5 %.
    assert are_too_few(6, 10, 0.5) and not are_too_few(60, 120, 0.5)
    assert not are_too_few(0, 10, 0.5)  # all wrong: 0 to 27.8 %
    assert not are_too_few(10, 10, 0.5)  # all right, and above chance level


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 2000), st.integers(2, 50), st.data())
def test_images_are_too_few_only_where_the_interval_holds_chance_and_useful_accuracy(
    images: int, classes: int, data: st.DataObject
) -> None:
    stats = pytest.importorskip("scipy.stats")
    correct, chance = data.draw(st.integers(0, images)), 1 / classes
    interval = stats.binomtest(correct, images).proportion_ci(0.95, method="wilson")
    useful = chance + (1 - chance) / 4
    if min(abs(interval.low - chance), abs(interval.high - useful)) > 1e-6:
        assert are_too_few(correct, images, chance) == (interval.low <= chance and useful <= interval.high)


def test_claim_says_which_of_the_two_it_is() -> None:
    few = {"top1": 0.6, "images": 10, "chance": 0.5}
    assert not_above_chance("the student", few, "test").startswith(
        "so few images cannot show whether the student is better than chance: 60.00 % (95 % interval 31.3 to 83.2)"
    )
    chance = {"top1": 0.5, "images": 120, "chance": 0.5}
    assert not_above_chance("the teacher", chance, "test", ", with nothing to teach").startswith(
        "the teacher is at chance level, with nothing to teach: 50.00 %"
    )


def test_interval_that_begins_at_chance_level_is_not_above_it() -> None:
    low = wilson_interval(30, 40)[0]
    assert not is_above_chance(30, 40, low) and is_above_chance(30, 40, float(np.nextafter(low, 0)))


def test_interval_that_ends_at_useful_accuracy_holds_it() -> None:
    high = wilson_interval(3, 10)[1]
    near = (high - 0.25) / 0.75 + np.arange(-8, 9) * np.finfo(float).eps / 4
    chance = next(float(level) for level in near if level + 0.25 * (1 - level) == high)
    assert are_too_few(3, 10, chance) and not are_too_few(3, 10, chance + 1e-9)


def test_sentences_are_whole() -> None:
    assert describe(0.5, 1200, 0.25) == (
        "50.00 % (95 % interval 47.2 to 52.8) on 1,200 images, where always answering the commonest class gives 25.00 %"
    )
    measured = {"top1": 0.5, "images": 120, "chance": 0.5}
    assert not_above_chance("the student", measured, "test") == (
        "the student is at chance level: " + describe(0.5, 120, 0.5, "test")
    )
