"""Paired differences between two students, by counting and by the interval of a normal approximation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.gain import gain_in_words, paired_gain

ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(ANSWERS)
@settings(deadline=None, max_examples=50)
def test_mean_is_the_difference_of_two_accuracies(answers: list[tuple[bool, bool]]) -> None:
    ours, theirs = (np.array(side) for side in zip(*answers, strict=True))
    gain = paired_gain(ours, theirs)
    assert gain["mean"] == pytest.approx(ours.mean() - theirs.mean())
    low, high = gain["interval"]
    assert -1 <= low <= high <= 1
    opposite = paired_gain(theirs, ours)
    assert opposite["mean"] == pytest.approx(-gain["mean"]) and opposite["interval"] == pytest.approx([-high, -low])


def test_interval_is_that_of_pairs_and_not_of_two_samples() -> None:
    # 1,000 images, of which 60 are gained and 20 are lost.
    ours, theirs = np.ones(1000, dtype=bool), np.ones(1000, dtype=bool)
    theirs[:60], ours[60:80] = False, False
    gain = paired_gain(ours, theirs)
    half = 1.96 * np.sqrt((80 / 1000 - 0.04**2) / 1000)  # of the mean of -1, 0 and 1
    assert gain["mean"] == pytest.approx(0.04) and gain["verdict"] == "better"
    assert gain["interval"] == pytest.approx([0.04 - half, 0.04 + half], abs=0.002)


def test_equal_students_cannot_be_told_apart() -> None:
    answers = np.arange(20) < 12
    assert paired_gain(answers, answers) == {"mean": 0.0, "interval": [0.0, 0.0], "verdict": "not distinguishable"}


def test_a_difference_in_words() -> None:
    better = {"mean": 0.021, "interval": [0.003, 0.039], "verdict": "better"}
    assert gain_in_words("the student", "plain training", better) == (
        "the student beats plain training by 2.10 points (paired 95 % interval +0.30 to +3.90)"
    )
    worse = {"mean": -0.314, "interval": [-0.36, -0.27], "verdict": "worse"}
    assert gain_in_words("the student", "plain training", worse) == (
        "the student is WORSE than plain training by 31.40 points (paired 95 % interval -36.00 to -27.00)"
    )
    unclear = {"mean": -0.002, "interval": [-0.02, 0.016], "verdict": "not distinguishable"}
    assert gain_in_words("the student", "its base", unclear) == (
        "the student cannot be told from its base: -0.20 points (paired 95 % interval -2.00 to +1.60)"
    )
