"""Maps are compared where both sides answer the same, and judged by the gate's bound."""

import json

import numpy as np
import pytest

from exporters.core.errors import UsageError
from exporters.parity import MapMeter, ParityGate, judge_maps
from exporters.parity.maps import MEAN_BOUND, report_maps
from exporters.runtimes import Explained

GATE, WITHOUT_BOUND = ParityGate(1e-2), ParityGate(None)


def answers(count: int, seed: int = 0) -> Explained:
    random = np.random.default_rng(seed)
    logits, cam = random.normal(size=(count, 5)), random.normal(size=(count, 3, 4))
    return Explained(logits.astype(np.float32), cam.astype(np.float32))


def compared(reference: Explained, candidate: Explained, batch: int = 7):
    meter = MapMeter()
    for start in range(0, len(reference.logits), batch):
        own = slice(start, start + batch)
        meter.add(*(Explained(each.logits[own], each.cam[own]) for each in (reference, candidate)))
    return meter.result()


def test_errors_are_relative_to_the_largest_value_and_leave_out_other_answers() -> None:
    reference, random = answers(20), np.random.default_rng(1)
    logits = reference.logits.copy()
    logits[3] = -logits[3]  # another answer, whose map is of another class
    cam = reference.cam + random.normal(scale=0.01, size=reference.cam.shape).astype(np.float32)
    cam[3] = 100
    result = compared(reference, Explained(logits, cam))
    kept = [index for index in range(20) if index != 3]
    error = np.abs(cam.astype(float) - reference.cam)[kept]
    scale = np.abs(reference.cam).max()
    assert (result.images, result.compared, result.non_finite) == (20, 19, 0)
    assert result.max_scaled_error == pytest.approx(error.max() / scale)
    assert result.mean_scaled_error == pytest.approx(error.mean() / scale)
    cosines = [
        np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
        for a, b in zip(reference.cam[kept].astype(float), cam[kept].astype(float), strict=True)
    ]
    assert result.cosine == pytest.approx(min(cosines))


def test_equal_maps_have_no_error() -> None:
    result = compared(answers(5), answers(5))
    assert (result.max_scaled_error, result.mean_scaled_error, result.cosine) == (0, 0, 1)
    assert judge_maps(result, ParityGate(1e-9)) == []


def test_bound_of_the_gate_holds_and_the_mean_where_it_has_none() -> None:
    reference = answers(20)
    off = Explained(reference.logits, reference.cam + np.float32(0.05))
    (failure,) = judge_maps(compared(reference, off), GATE)
    assert failure.startswith("class activation maps: largest error 0.01") and failure.endswith("allowed 0.01")
    assert judge_maps(compared(reference, off), WITHOUT_BOUND) == []
    other = Explained(reference.logits, answers(20, seed=9).cam)
    (failure,) = judge_maps(compared(reference, other), WITHOUT_BOUND)
    assert f"allowed {MEAN_BOUND:.3g}" in failure


def test_non_finite_maps_and_none_to_compare_fail() -> None:
    reference = answers(4)
    cam = reference.cam.copy()
    cam[1, 0, 0] = np.nan
    assert judge_maps(compared(reference, Explained(reference.logits, cam)), WITHOUT_BOUND) == [
        "1 of 4 class activation maps have a NaN or infinite value"
    ]
    (failure,) = judge_maps(compared(reference, Explained(-reference.logits, reference.cam)), WITHOUT_BOUND)
    assert "not one image has the same answer" in failure


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot compare maps"):
        MapMeter().add(answers(4), Explained(answers(4).logits, np.zeros((4, 2, 2), np.float32)))


def test_report_has_every_batch_size_and_plain_json() -> None:
    reference = answers(20)
    off = Explained(reference.logits, reference.cam + np.float32(0.05))
    good, bad = compared(reference, reference), compared(reference, off)
    report = report_maps(good, {1: bad}, GATE)
    assert len(report.failures) == 1 and report.failures[0].startswith("at batch 1: class activation maps")
    told = json.loads(json.dumps(report.to_json()))
    assert told["bound"] == {"max_scaled_error": 1e-2, "mean_scaled_error": None}
    assert told["whole"]["images"] == 20 and set(told["batches"]) == {"1"}
