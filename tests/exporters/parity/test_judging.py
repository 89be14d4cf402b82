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
