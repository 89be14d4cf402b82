"""Scores against the formulas by another path, thresholds against simulation."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from exporters.core.known import (
    SCORES,
    KnownRule,
    Score,
    choose_threshold,
    known_scores,
    least_images,
    rule_of,
    threshold_rank,
)

LOGITS = arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(2, 9)), elements=st.floats(-80, 80, width=32))


def by_decimals(score: Score, row: np.ndarray) -> float:
    """The formula with 60 digits, term by term."""
    with localcontext() as context:
        context.prec = 60
        terms = [Decimal(float(value)).exp() for value in row]
        return float(sum(terms).ln() if score == "energy" else max(terms) / sum(terms))


@pytest.mark.parametrize("score", SCORES)
@given(logits=LOGITS)
def test_scores_are_those_of_the_papers(score: Score, logits: np.ndarray) -> None:
    expected = [by_decimals(score, row) for row in logits]
    np.testing.assert_allclose(known_scores(score, logits), expected, rtol=1e-12, atol=1e-12)


@given(logits=LOGITS, added=st.floats(-50, 50))
def test_constant_added_to_the_logits_moves_the_energy_alone(logits: np.ndarray, added: float) -> None:
    moved = logits.astype(np.float64) + added
    np.testing.assert_allclose(known_scores("energy", moved), known_scores("energy", logits) + added, atol=1e-9)
    np.testing.assert_allclose(known_scores("max_softmax", moved), known_scores("max_softmax", logits), rtol=1e-9)


@given(logits=LOGITS, added=st.floats(0, 50))
def test_larger_top_logit_never_lowers_a_score(logits: np.ndarray, added: float) -> None:
    raised = logits.astype(np.float64)
    raised[np.arange(len(raised)), raised.argmax(axis=1)] += added
    for score in SCORES:
        assert (known_scores(score, raised) >= known_scores(score, logits) - 1e-12).all()


@given(logits=LOGITS)
def test_scores_keep_their_bounds(logits: np.ndarray) -> None:
    classes = logits.shape[1]
    probability, energy = known_scores("max_softmax", logits), known_scores("energy", logits)
    assert (probability >= 1 / classes - 1e-12).all() and (probability <= 1).all()
    largest = logits.max(axis=1)
    assert (energy >= largest).all() and (energy <= largest + math.log(classes) + 1e-5).all()


def test_logits_that_are_not_finite_are_never_known() -> None:
    logits = np.array([[np.nan, 1, 2], [np.inf, 0, 0], [-np.inf, 3, 0], [3, 0, 0]])
    for score in SCORES:
        assert np.isneginf(known_scores(score, logits)).tolist() == [True, True, True, False]
        assert KnownRule(score, -1e9).known(logits).tolist() == [False, False, False, True]


@pytest.mark.parametrize("false_alarms", [0.01, 0.05, 0.07, 0.29, 0.5])
def test_rank_is_exact_in_decimals(false_alarms: float) -> None:
    """0.29 · 100 is 28.999… in floating point."""
    for images in (0, 1, 18, 19, 20, 98, 99, 100, 1199):
        assert threshold_rank(images, false_alarms) == int(Decimal(repr(false_alarms)) * (images + 1))
    least = least_images(false_alarms)
    assert threshold_rank(least, false_alarms) == 1 and threshold_rank(least - 1, false_alarms) == 0
    with pytest.raises(ValueError, match="too few"):
        choose_threshold(np.zeros(least - 1), false_alarms)


@pytest.mark.parametrize(("images", "false_alarms"), [(19, 0.05), (57, 0.1), (300, 0.05)])
def test_false_alarms_of_1000_draws_are_what_was_asked_for(images: int, false_alarms: float) -> None:
    """The exact share below the threshold follows from the distribution, and its mean is k / (n + 1)."""
    random = np.random.default_rng(images)
    shares = np.array([choose_threshold(random.uniform(size=images), false_alarms) for _ in range(1000)])
    expected = float(Fraction(threshold_rank(images, false_alarms), images + 1))
    assert expected <= false_alarms
    # Order statistics of uniform draws are Beta(k, n + 1 - k).
    deviation = math.sqrt(expected * (1 - expected) / (images + 2))
    assert abs(shares.mean() - expected) < 4 * deviation / math.sqrt(1000)
    assert shares.std() == pytest.approx(deviation, rel=0.15)


def test_equal_scores_make_fewer_false_alarms() -> None:
    """Such as a probability that rounds to 1: an image at the threshold is known."""
    scores = np.array([0.2, *[0.9] * 60, *[1.0] * 38])
    assert choose_threshold(scores, 0.05) == 0.9
    assert np.sum(scores < 0.9) == 1
    assert choose_threshold(np.ones(99), 0.05) == 1.0
    logits = np.array([[0.0, 800.0], [0.0, 0.0]])  # the first probability is exactly 1
    assert KnownRule("max_softmax", 1.0).known(logits).tolist() == [True, False]


@given(
    scores=arrays(np.float64, st.integers(19, 200), elements=st.floats(-100, 100)),
    alpha=st.sampled_from([0.05, 0.1, 0.5]),
)
def test_threshold_refuses_fewer_than_its_rank(scores: np.ndarray, alpha: float) -> None:
    threshold, rank = choose_threshold(scores, alpha), threshold_rank(len(scores), alpha)
    assert np.sum(scores < threshold) < rank <= np.sum(scores <= threshold)


def test_rule_is_that_of_the_model() -> None:
    manifest = {
        "known": {"score": "energy"},
        "models": {"model.onnx": {"known": {"threshold": 2.0}}, "model.int8.onnx": {"known": {"threshold": 1.5}}},
    }
    assert rule_of(manifest, "model.int8.onnx") == KnownRule("energy", 1.5)
    assert rule_of({"models": {}}, "model.onnx") is None
