"""Students that diverged or say nothing, against likelihoods by SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.sanity import faults


def answers(seed: int, images: int, classes: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return (scale * random.normal(size=(images, classes))).astype(np.float32), random.integers(0, classes, images)


def test_same_logits_for_every_image_say_nothing() -> None:
    labels = np.arange(40) % 4
    constant = np.tile(np.float32([3, 0, -1, 2]), (40, 1))
    assert faults(constant, labels) == ["the student gives the same answer for all 40 images, whatever they show"]
    assert faults(np.zeros((40, 4), np.float32), labels) == faults(constant, labels)
    rounded = constant + np.random.default_rng(0).normal(scale=1e-6, size=constant.shape).astype(np.float32)
    assert faults(rounded, labels) == faults(constant, labels)
    # A small but real difference between images is an answer.
    told = np.float32(0.01) * np.eye(4, dtype=np.float32)[labels]
    assert faults(told, labels) == []


def test_diverged_student_is_worse_than_equal_probabilities() -> None:
    logits, labels = answers(0, 400, 8, 200.0)
    (sentence,) = faults(logits, labels)
    assert "worse than equal ones for all 8 classes" in sentence and f"against {math.log(8):.3f}" in sentence


def test_guessing_within_noise_is_no_divergence() -> None:
    for seed in range(50):
        logits, labels = answers(seed, 60, 4, 0.05)
        assert faults(logits, labels) == []


def test_one_image_shows_nothing() -> None:
    assert faults(np.float32([[100, 0]]), np.array([1])) == []


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10_000), st.integers(2, 200), st.integers(2, 20), st.floats(0.1, 50))
def test_warning_agrees_with_a_one_sided_bound_on_the_likelihood(
    seed: int, images: int, classes: int, scale: float
) -> None:
    special, stats = pytest.importorskip("scipy.special"), pytest.importorskip("scipy.stats")
    logits, labels = answers(seed, images, classes, scale)
    each = special.logsumexp(logits.astype(np.float64), axis=1) - logits[np.arange(images), labels]
    beyond = each.mean() - math.log(classes) - 3 * stats.sem(each)
    if abs(beyond) > 1e-9:
        assert bool(faults(logits, labels)) == (beyond > 0)
