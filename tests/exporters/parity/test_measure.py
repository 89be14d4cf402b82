import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exporters.core.errors import UsageError
from exporters.parity import ParityGate, ParityMeter, compare, judge, paired_interval

GATE = ParityGate(1e-4, 0.999, 0.001)
NAMES = [f"image{index}.jpg" for index in range(1000)]


def logits(count: int = 40, classes: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, classes)).astype(np.float32)


matrices = hnp.arrays(np.float32, (6, 7), elements=st.floats(-100, 100, width=32))


@settings(deadline=None, max_examples=60)
@given(matrices, matrices, hnp.arrays(np.int64, 6, elements=st.integers(0, 6)))
def test_numbers_equal_their_definitions(a: np.ndarray, b: np.ndarray, labels: np.ndarray) -> None:
    result = compare(a, b, labels, NAMES[:6])
    x, y = a.astype(np.float64), b.astype(np.float64)
    scale = max(abs(float(value)) for value in x.flat) or 1.0
    errors = [[abs(p - q) / scale for p, q in zip(row, other, strict=True)] for row, other in zip(x, y, strict=True)]
    assert result.max_scaled_error == pytest.approx(max(map(max, errors)))
    assert result.mean_scaled_error == pytest.approx(sum(map(sum, errors)) / 42)
    assert result.p99_scaled_error == pytest.approx(np.percentile([max(row) for row in errors], 99))
    same = [int(p.argmax()) == int(q.argmax()) for p, q in zip(x, y, strict=True)]
    assert result.differing == same.count(False)
    assert result.top1_agreement == pytest.approx(sum(same) / 6)
    tops = [[set(sorted(range(7), key=lambda k: (-row[k], k))[:5]) for row in z] for z in (x, y)]
    assert result.top5_agreement == pytest.approx(np.mean([p == q for p, q in zip(*tops, strict=True)]))
    assert result.reference_accuracy == pytest.approx(np.mean(x.argmax(1) == labels))
    assert result.accuracy_drop == pytest.approx(np.mean(x.argmax(1) == labels) - np.mean(y.argmax(1) == labels))
    assert judge(result, result.would_pass) == []


def test_equal_logits_pass_the_strictest_gate() -> None:
    a = logits()
    result = compare(a, a, a.argmax(axis=1), NAMES[:40])
    assert (result.max_scaled_error, result.top1_agreement, result.cosine, result.accuracy_drop) == (0, 1, 1, 0)
    assert judge(result, ParityGate(0.0, 1.0, 0.0)) == []


def test_cosine_is_the_lowest() -> None:
    a, b = np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), np.array([[2.0, 0.0], [2.0, 2.0]], np.float32)
    assert compare(a, b, None, NAMES[:2]).cosine == pytest.approx(np.sqrt(0.5))


def test_batches_give_the_result_of_the_whole() -> None:
    a, b, labels = logits(), logits(seed=1), np.arange(40) % 7
    meter = ParityMeter()
    for start in range(0, 40, 9):
        part = slice(start, start + 9)
        meter.add(a[part], b[part], labels[part], NAMES[:40][part])
    assert meter.result() == compare(a, b, labels, NAMES[:40])


def with_swapped(a: np.ndarray, count: int) -> np.ndarray:
    """The same logits but for a different first class in `count` images."""
    b = a.copy()
    for row in b[:count]:
        row[row.argmin()] = row.max() + 1e-6
    return b


def test_better_candidate_counts_as_no_drop() -> None:
    a = logits()
    b = with_swapped(a, 10)
    result = compare(a, b, b.argmax(axis=1), NAMES[:40])
    assert result.accuracy_drop == pytest.approx(-0.25)
    assert judge(result, ParityGate(None, 0.0, 0.0)) == []
    assert result.would_pass.max_accuracy_drop == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["reference", "candidate"])
def test_logits_that_are_not_finite_fail(value: float, side: str) -> None:
    a, b = logits(), logits()
    (a if side == "reference" else b)[3, 2] = value
    result = compare(a, b, np.zeros(40), NAMES[:40])
    assert result.non_finite == result.differing == 1
    assert result.worst[0]["name"] == "image3.jpg"
    assert any("NaN or infinite" in failure for failure in judge(result, ParityGate()))
    json.dumps(result.to_json(), allow_nan=False)


def test_no_finite_logits_fail() -> None:
    bad = np.full((3, 2), np.nan, np.float32)
    result = compare(bad, bad, None, NAMES[:3])
    assert result.max_scaled_error is None
    assert judge(result, GATE)
    json.dumps(result.to_json(), allow_nan=False)


def test_worst_images_are_listed_worst_first() -> None:
    a = logits()
    b = a.copy()
    for rank, index in enumerate((30, 4, 17)):
        b[index, 0] += 3 - rank
    result = compare(a, b, None, NAMES[:40])
    assert [entry["name"] for entry in result.worst[:3]] == ["image30.jpg", "image4.jpg", "image17.jpg"]
    assert len(result.worst) == 10
    assert result.worst[0]["scaled_error"] == result.max_scaled_error
    assert result.worst[0]["reference"] == a[30].argmax()


def test_shapes_that_do_not_match_are_refused() -> None:
    a = logits()
    for other, names in ((a[:, :3], NAMES[:40]), (a[:3], NAMES[:40]), (a, NAMES[:3])):
        with pytest.raises(UsageError, match="cannot compare"):
            compare(a, other, None, names)
    with pytest.raises(UsageError, match="no images"):
        ParityMeter().result()


def test_interval_is_part_of_the_comparison() -> None:
    a = logits()
    b = with_swapped(a, 3)
    assert compare(a, b, a.argmax(axis=1), NAMES[:40]).accuracy_drop_interval == paired_interval(3, 0, 40)
    assert compare(a, b, None, NAMES[:40]).accuracy_drop_interval is None


def test_result_as_json() -> None:
    a = logits(count=3)
    b = with_swapped(a, 1)
    result = compare(a, b, a.argmax(axis=1), NAMES[:3])
    told = json.loads(json.dumps(result.to_json()))
    assert told["accuracy_drop_interval"] == list(paired_interval(1, 0, 3))
    assert told["would_pass"] == {
        "max_scaled_error": result.max_scaled_error,
        "min_agreement": 1 - 1 / 3,
        "max_accuracy_drop": 1 - 2 / 3,
    }
    assert (told["images"], told["scale"]) == (3, np.abs(a).max())
    assert (told["reference_accuracy"], told["candidate_accuracy"]) == (1, 2 / 3)
    assert told["worst"][0] == {
        "name": "image0.jpg",
        "scaled_error": result.max_scaled_error,
        "reference": int(a[0].argmax()),
        "candidate": int(a[0].argmin()),
    }
    assert result.to_json()["accuracy_drop_interval"] == list(paired_interval(1, 0, 3))
    assert set(told) == {each.name for each in dataclasses.fields(result)} | {"would_pass"}
    assert compare(a, b, None, NAMES[:3]).to_json()["accuracy_drop_interval"] is None


def test_image_that_is_not_finite_counts_in_no_error() -> None:
    a = logits() * np.float32(1e-3)
    b = a + np.float32(1e-5)
    b[3, 2] = np.inf
    others = np.arange(40) != 3
    result, without = (compare(x, y, None, NAMES[: len(x)]) for x, y in ((a, b), (a[others], b[others])))
    for key in ("scale", "max_scaled_error", "mean_scaled_error", "p99_scaled_error", "cosine"):
        assert getattr(result, key) == getattr(without, key)
    assert result.scale == np.abs(a[others]).max()
    assert result.worst[0] == {"name": "image3.jpg", "scaled_error": None, "reference": 0, "candidate": 0}


def test_cosine_of_logits_without_a_length() -> None:
    """Two rows of zeros are equal; one beside another row has nothing in common with it."""
    a, b = logits(count=3), logits(count=3)
    a[0] = b[0] = 0
    b[1:] *= 2
    assert compare(a, b, None, NAMES[:3]).cosine == pytest.approx(1)
    other, small = b[1:] + 1, np.float32(1e-3)
    expected = compare(a[1:], other, None, NAMES[:2]).cosine
    assert expected is not None and 0.1 < expected < 0.99
    assert compare(small * a[1:], small * other, None, NAMES[:2]).cosine == pytest.approx(expected)
    b[2] = 0
    assert compare(a, b, None, NAMES[:3]).cosine == 0


def test_error_is_absolute_where_all_logits_of_the_reference_are_zero() -> None:
    zero = np.zeros((2, 3), np.float32)
    result = compare(zero, zero + np.float32(0.25), None, NAMES[:2])
    assert (result.scale, result.max_scaled_error, result.mean_scaled_error) == (0, 0.25, 0.25)


def test_of_equal_logits_the_first_are_the_most_likely() -> None:
    a = np.zeros((1, 200), np.float32)
    b = a.copy()
    b[0, 100:] = -1
    assert compare(a, b, None, NAMES[:1]).top5_agreement == 1
    b[0, 4] = -1
    assert compare(a, b, None, NAMES[:1]).top5_agreement == 0
    mixed = np.random.default_rng(8).integers(0, 2, (20, 1000)).astype(np.float32)
    clear = mixed.copy()
    for row in clear:
        row[np.flatnonzero(row)[5:]] = 0.5
    assert compare(mixed, clear, None, NAMES[:20]).top5_agreement == 1
