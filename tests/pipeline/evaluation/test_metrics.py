"""Accuracy and its interval against definitions written out another way, in float64."""

import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.evaluation.metrics import per_class_accuracy, predict, score, top_k_correct, wilson_interval
from pipeline.evaluation.probabilities import calibration_error, negative_log_likelihood


@st.composite
def scored(draw: Any, ties: bool = True) -> tuple[np.ndarray, np.ndarray, int]:
    """Logits `[N, K]`, labels `[N]`, K."""
    count, classes = draw(st.integers(1, 12)), draw(st.integers(2, 7))
    values = st.integers(-3, 3) if ties else st.floats(-50, 50, width=32)
    logits = draw(hnp.arrays(np.float32, (count, classes), elements=values))
    labels = draw(hnp.arrays(np.int64, count, elements=st.integers(0, classes - 1)))
    return logits, labels, classes


def rank(row: list[float], label: int) -> int:
    """How many classes stand before the label: those with more, and of equals those with a lower number."""
    return sum(value > row[label] or (value == row[label] and other < label) for other, value in enumerate(row))


@settings(deadline=None, max_examples=100)
@given(scored(), st.integers(1, 8))
def test_top_k_counts_the_classes_before_the_label(case: tuple[np.ndarray, np.ndarray, int], k: int) -> None:
    logits, labels, _ = case
    expected = [rank(row, label) < k for row, label in zip(logits.tolist(), labels.tolist(), strict=True)]
    found = top_k_correct(logits, labels, k)
    assert found.dtype == bool and found.tolist() == expected


@settings(deadline=None, max_examples=50)
@given(scored())
def test_top_1_is_argmax_and_top_k_grows(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    logits, labels, classes = case
    assert top_k_correct(logits, labels, 1).tolist() == (logits.argmax(axis=1) == labels).tolist()
    shares = [top_k_correct(logits, labels, k).mean() for k in range(1, classes + 1)]
    assert shares == sorted(shares) and shares[-1] == 1


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 5000), st.floats(0, 1), st.floats(0.5, 4))
def test_the_interval_holds_the_proportions_that_a_score_test_does_not_reject(
    total: int, share: float, z: float
) -> None:
    """At each Wilson bound p, the observed share is z standard errors of p away from p."""
    correct = round(share * total)
    observed = correct / total

    def distance(proportion: float) -> float:
        return (observed - proportion) ** 2 - z * z * proportion * (1 - proportion) / total

    def bisect(inside: float, outside: float) -> float:
        for _ in range(200):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if distance(middle) <= 0 else (inside, middle)
        return inside

    low, high = wilson_interval(correct, total, z)
    assert low == pytest.approx(bisect(observed, 0.0) if distance(0.0) > 0 else 0.0, abs=1e-9)
    assert high == pytest.approx(bisect(observed, 1.0) if distance(1.0) > 0 else 1.0, abs=1e-9)
    assert 0 <= low <= observed <= high <= 1


def test_wilson_interval_equals_published_values() -> None:
    # 15 of 148: Newcombe (1998), table I, method 3.
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_score_is_json_of_the_figures() -> None:
    logits = np.eye(6, dtype=np.float32)[[0, 1, 2, 3, 4, 5, 0, 1]]
    labels = np.array([0, 1, 2, 3, 4, 5, 5, 5])
    measured = score(logits, labels)
    low, high = wilson_interval(6, 8)
    # Of equal logits the lower classes come first, so that class 5 is the sixth of six where it is wrong.
    expected = {
        "images": 8, "correct": 6, "top1": 0.75, "top1_interval": [low, high], "chance": 3 / 8, "top5": 0.75,
        "nll": negative_log_likelihood(logits, labels), "ece": calibration_error(logits, labels),
    }  # fmt: skip
    assert measured == expected
    assert {type(value) for value in measured.values()} == {int, float, list}
    three = score(np.eye(3, dtype=np.float32), np.array([1, 2, 0]))
    assert (three["top1"], three["top5"]) == (0.0, 1.0)


def test_logits_that_are_not_finite_have_no_likelihood() -> None:
    measured = score(np.array([[np.nan, 0.0], [0.0, 1.0]], dtype=np.float32), np.array([0, 1]))
    assert (measured["nll"], measured["ece"]) == (None, None)


@settings(deadline=None, max_examples=60)
@given(scored(ties=False))
def test_per_class_accuracy_equals_a_plain_count(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    logits, labels, classes = case
    hits: dict[int, list[int]] = {label: [] for label in range(classes)}
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        hits[label].append(int(row.index(max(row)) == label))
    found = per_class_accuracy(logits, labels, classes)
    assert found == [pytest.approx(sum(hit) / len(hit)) if hit else None for hit in hits.values()]


class Images(NamedTuple):
    images: Any
    labels: Any


def test_predict_gathers_a_split_without_gradient() -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (10, 3, 4, 4), dtype=np.uint8)
    labels = random.integers(0, 3, 10)
    weight = torch.nn.Parameter(torch.from_numpy(random.normal(size=(3, 48)).astype(np.float32)))
    sizes: list[int] = []

    def logits_of(images: Any) -> Any:
        assert images.dtype == torch.float32 and images.min() >= 0 and images.max() <= 1
        assert not torch.is_grad_enabled()
        sizes.append(len(images))
        return (images.flatten(1) @ weight.T).to(torch.float64)

    batches = [Images(torch.from_numpy(pixels[i : i + 4]), torch.from_numpy(labels[i : i + 4])) for i in (0, 4, 8)]
    found, given_labels = predict(logits_of, batches, torch.device("cpu"))
    expected = (pixels.reshape(10, 48) / 255) @ weight.detach().numpy().astype(np.float64).T
    assert found.dtype == np.float32 and found.shape == (10, 3) and sizes == [4, 4, 2]
    assert np.abs(found - expected).max() < 1e-5
    assert given_labels.tolist() == labels.tolist()


def test_predict_keeps_no_array_of_a_batch() -> None:
    """Small arrays that stay between large ones that go keep the heap from shrinking: 5 MB for each batch of 256."""
    torch = pytest.importorskip("torch")
    made: list[weakref.ref[Any]] = []
    alive: list[int] = []

    def batches() -> Iterator[Images]:
        for _ in range(9):
            alive.append(sum(each() is not None for each in made))
            labels = torch.zeros(4, dtype=torch.int64)
            made.append(weakref.ref(labels))
            yield Images(torch.zeros((4, 3, 2, 2), dtype=torch.uint8), labels)

    def logits_of(_images: Any) -> Any:
        logits = torch.zeros((4, 5))
        made.append(weakref.ref(logits))
        return logits

    logits, _labels = predict(logits_of, batches(), torch.device("cpu"))
    assert logits.shape == (36, 5) and len(made) == 18
    assert max(alive) <= 2  # labels and logits of the batch before
