import dataclasses

import numpy as np
import pytest

from exporters.parity import ParityGate, compare, judge
from tests.exporters.parity.test_measure import GATE, NAMES, logits, with_swapped


def test_one_differing_image_passes_and_two_do_not() -> None:
    a = logits()
    labels = a.argmax(axis=1)
    for swapped, failures in ((1, 0), (2, 2)):
        result = compare(a, with_swapped(a, swapped), labels, NAMES[:40])
        assert result.differing == swapped
        assert result.accuracy_drop == pytest.approx(swapped / 40)
        assert len(judge(result, dataclasses.replace(GATE, max_scaled_error=None))) == failures


def test_error_fails_even_where_all_classes_agree() -> None:
    a = logits()
    (failure,) = judge(compare(a, a * np.float32(1.001), None, NAMES[:40]), GATE)
    assert "error 0.001" in failure
    assert "0.0001" in failure


def test_every_bound_has_a_line_of_its_own() -> None:
    result = compare(logits(), logits(seed=1), logits().argmax(axis=1), NAMES[:40])
    lines = judge(result, GATE)
    assert [line.split(" ")[0] for line in lines] == ["largest", "top-1", "top-1"]
    assert judge(result, ParityGate()) == []


def test_bound_itself_passes_and_less_does_not() -> None:
    a = logits()
    result = compare(a, with_swapped(a, 4), a.argmax(axis=1), NAMES[:40])
    assert result.max_scaled_error is not None and result.accuracy_drop is not None
    at = ParityGate(result.max_scaled_error, result.top1_agreement, result.accuracy_drop)
    assert judge(result, at) == []
    (error,) = judge(result, dataclasses.replace(at, max_scaled_error=np.nextafter(result.max_scaled_error, 0)))
    (agreement,) = judge(result, dataclasses.replace(at, min_agreement=np.nextafter(result.top1_agreement, 1)))
    (drop,) = judge(result, dataclasses.replace(at, max_accuracy_drop=np.nextafter(result.accuracy_drop, 0)))
    assert error.startswith("largest error ")
    assert agreement == "top-1 agreement 0.90000, needed 0.90000"
    assert drop == "top-1 accuracy drops by 0.10000, allowed 0.10000"


def test_logits_that_are_not_finite_are_counted() -> None:
    a = logits()
    a[[2, 5], 1] = np.nan
    assert judge(compare(a, a, None, NAMES[:40]), ParityGate()) == ["2 of 40 images have a NaN or infinite logit"]


def test_drop_of_one_image_passes_however_few_there_are() -> None:
    a = logits(count=3)
    labels = a.argmax(axis=1)
    assert judge(compare(a, with_swapped(a, 1), labels, NAMES[:3]), ParityGate(None, 1.0, 0.0)) == []
    two = judge(compare(a, with_swapped(a, 2), labels, NAMES[:3]), ParityGate(None, 0.0, 0.0))
    assert two == ["top-1 accuracy drops by 0.66667, allowed 0.00000"]
