"""Likelihood and calibration against definitions written out image by image."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.evaluation.probabilities import (
    calibration_error,
    log_probabilities,
    negative_log_likelihood,
    reliability,
)


@st.composite
def scored(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    count, classes = draw(st.integers(1, 12)), draw(st.integers(2, 6))
    logits = draw(hnp.arrays(np.float32, (count, classes), elements=st.floats(-8, 8, width=32)))
    return logits, draw(hnp.arrays(np.int64, count, elements=st.integers(0, classes - 1)))


def probabilities(row: list[float]) -> list[float]:
    total = math.fsum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


@settings(deadline=None, max_examples=100)
@given(scored())
def test_likelihood_is_the_mean_logarithm_of_the_labels_probability(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = case
    expected = [-math.log(probabilities(row)[label]) for row, label in zip(logits.tolist(), labels, strict=True)]
    assert negative_log_likelihood(logits, labels) == pytest.approx(math.fsum(expected) / len(expected), abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(scored(), st.integers(1, 20))
def test_calibration_error_is_the_weighted_gap_of_the_bins(case: tuple[np.ndarray, np.ndarray], bins: int) -> None:
    logits, labels = case
    members: dict[int, list[tuple[float, bool]]] = {}
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        confidence = max(probabilities(row))
        if min(abs(confidence * bins - edge) for edge in range(bins + 1)) < 1e-9:
            return  # on an edge, rounding decides
        number = next(number for number in range(bins) if number / bins < confidence <= (number + 1) / bins)
        members.setdefault(number, []).append((confidence, row.index(max(row)) == label))
    gaps = [
        len(bin_) / len(labels)
        * abs(sum(right for _, right in bin_) / len(bin_) - sum(confidence for confidence, _ in bin_) / len(bin_))
        for bin_ in members.values()
    ]  # fmt: skip
    assert calibration_error(logits, labels, bins) == pytest.approx(math.fsum(gaps), abs=1e-9)


def test_calibrated_and_overconfident_classifiers() -> None:
    sure = np.array([[50.0, 0.0]] * 4, dtype=np.float32)
    assert calibration_error(sure, np.zeros(4, dtype=int)) == pytest.approx(0, abs=1e-12)
    assert calibration_error(sure, np.array([0, 0, 1, 1])) == pytest.approx(0.5)
    three_in_four = np.array([[math.log(3), 0.0]] * 4, dtype=np.float32)
    assert calibration_error(three_in_four, np.array([0, 0, 0, 1])) == pytest.approx(0, abs=1e-6)


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[1e4, -1e4], [-3e38, 3e38]], dtype=np.float32)
    assert np.isfinite(log_probabilities(logits)).all()
    assert negative_log_likelihood(logits, np.array([0, 1])) == 0


def test_reliability_has_the_means_of_each_bin() -> None:
    confidence = np.array([0.05, 0.1, 0.11, 0.95, 1.0])
    bins = reliability(confidence, np.array([True, False, True, True, False]), bins=10)
    assert bins.images.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]  # closed above: .1 is in the first
    assert bins.confidence[[0, 1, 9]] == pytest.approx([0.075, 0.11, 0.975])
    assert bins.accuracy[[0, 1, 9]].tolist() == [0.5, 1.0, 0.5]
    assert bins.calibration_error == pytest.approx((2 * 0.425 + 0.89 + 2 * 0.475) / 5)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0.001, 1, exclude_max=True), st.booleans()), min_size=1, max_size=60))
def test_bins_are_those_of_scikit_learn(pairs: list[tuple[float, bool]]) -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    confidence, correct = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    if np.isclose(confidence * 15, np.round(confidence * 15), atol=1e-9).any():
        return  # on an edge, rounding decides
    found = reliability(confidence, correct)
    shares, means = calibration.calibration_curve(correct, confidence, n_bins=15)
    filled = found.images > 0
    assert found.accuracy[filled] == pytest.approx(shares) and found.confidence[filled] == pytest.approx(means)
    error = float((found.images[filled] / len(pairs) * np.abs(shares - means)).sum())
    assert found.calibration_error == pytest.approx(error)
