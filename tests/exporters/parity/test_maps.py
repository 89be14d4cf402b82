"""Maps are compared where both sides answer the same, and judged by the gate's bound."""

import dataclasses
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


def test_order_of_the_images_does_not_count() -> None:
    reference, candidate = answers(20), Explained(answers(20).logits, answers(20, seed=4).cam)
    forward = compared(reference, candidate)
    backward = compared(*(Explained(each.logits[::-1], each.cam[::-1]) for each in (reference, candidate)))
    assert forward.scale == backward.scale == np.abs(reference.cam).max()
    assert (forward.max_scaled_error, forward.cosine) == (backward.max_scaled_error, backward.cosine)
    assert forward.mean_scaled_error == pytest.approx(backward.mean_scaled_error)


def test_bound_of_the_gate_holds_and_the_mean_where_it_has_none() -> None:
    reference = answers(20)
    off = Explained(reference.logits, reference.cam + np.float32(0.05))
    (failure,) = judge_maps(compared(reference, off), GATE)
    assert failure.startswith("class activation maps: largest error 0.01") and failure.endswith("allowed 0.01")
    assert judge_maps(compared(reference, off), WITHOUT_BOUND) == []
    other = Explained(reference.logits, answers(20, seed=9).cam)
    (failure,) = judge_maps(compared(reference, other), WITHOUT_BOUND)
    assert f"allowed {MEAN_BOUND:.3g}" in failure


@pytest.mark.parametrize("side", ["reference", "candidate"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_maps_that_are_not_finite_fail_and_are_not_compared(side: str, value: float) -> None:
    """Of the student as of the file: a NaN compares as neither larger nor smaller than a bound."""
    good, bad = answers(4), answers(4)
    bad.cam[0, 0, 0] = value
    result = compared(*((bad, good) if side == "reference" else (good, bad)), batch=2)
    assert (result.images, result.compared, result.non_finite, result.max_scaled_error) == (4, 3, 1, 0)
    assert result.scale == np.abs(good.cam[1:] if side == "reference" else good.cam).max()
    assert judge_maps(result, WITHOUT_BOUND) == ["1 of 4 class activation maps have a NaN or infinite value"]


def test_map_beside_logits_that_are_not_finite_is_not_compared() -> None:
    logits = answers(4).logits.copy()
    logits[2, logits[2].argmin()] = -np.inf
    assert compared(answers(4), Explained(logits, answers(4).cam)).compared == 3


def test_no_map_to_compare_fails() -> None:
    reference = answers(4)
    result = compared(reference, Explained(-reference.logits, reference.cam))
    assert (result.compared, result.max_scaled_error, result.mean_scaled_error, result.cosine) == (0, None, None, None)
    assert judge_maps(result, WITHOUT_BOUND) == [
        "no class activation map could be compared: not one image has the same answer"
    ]


def test_one_map_is_enough_to_compare() -> None:
    one = answers(1)
    assert compared(one, Explained(one.logits, one.cam + np.float32(0.5))).max_scaled_error == pytest.approx(
        0.5 / np.abs(one.cam).max()
    )


def test_cosine_of_maps_without_a_length() -> None:
    """Two maps of zeros are equal; one beside another map has nothing in common with it."""
    reference, candidate = answers(3), answers(3, seed=1)
    candidate = Explained(reference.logits, candidate.cam)
    reference.cam[0] = candidate.cam[0] = 0
    a, b = (each.cam[1:].astype(float).reshape(2, -1) for each in (reference, candidate))
    expected = ((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min()
    assert 0 < abs(expected) < 1
    assert compared(reference, candidate).cosine == pytest.approx(min(1, expected))
    same = Explained(reference.logits, reference.cam + np.float32(1e-3) * (reference.cam != 0))
    assert compared(reference, same).cosine == pytest.approx(1, abs=1e-3)
    candidate.cam[:] = 0
    assert compared(reference, candidate).cosine == 0


def test_small_maps_have_a_small_scale_and_none_has_an_absolute_error() -> None:
    reference, other = answers(6), answers(6, seed=2)
    small = [Explained(reference.logits, each.cam * np.float32(1e-3)) for each in (reference, other)]
    result, large = compared(*small), compared(reference, Explained(reference.logits, other.cam))
    assert result.scale == np.abs(small[0].cam).max()
    assert result.max_scaled_error == pytest.approx(large.max_scaled_error)
    assert result.cosine == pytest.approx(large.cosine)
    zero = Explained(reference.logits, np.zeros_like(reference.cam))
    absolute = compared(zero, Explained(reference.logits, np.full_like(reference.cam, 0.25)))
    assert (absolute.scale, absolute.max_scaled_error, absolute.mean_scaled_error) == (0, 0.25, 0.25)


def test_bound_itself_passes() -> None:
    result = compared(answers(5), Explained(answers(5).logits, answers(5).cam + np.float32(0.05)))
    assert result.max_scaled_error is not None
    assert judge_maps(result, ParityGate(result.max_scaled_error)) == []
    assert judge_maps(result, ParityGate(np.nextafter(result.max_scaled_error, 0)))
    at = dataclasses.replace(result, mean_scaled_error=MEAN_BOUND)
    assert judge_maps(at, WITHOUT_BOUND) == []
    assert judge_maps(dataclasses.replace(at, mean_scaled_error=np.nextafter(MEAN_BOUND, 1)), WITHOUT_BOUND)


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot compare maps"):
        MapMeter().add(answers(4), Explained(answers(4).logits, np.zeros((4, 2, 2), np.float32)))


def test_report_has_every_batch_size_and_plain_json() -> None:
    reference = answers(20)
    off = Explained(reference.logits, reference.cam + np.float32(0.05))
    good, bad = compared(reference, reference), compared(reference, off)
    (failure,) = judge_maps(bad, GATE)
    assert report_maps(good, {1: good, 7: bad}, GATE).failures == [f"at batch 7: {failure}"]
    report = report_maps(bad, {1: bad, 7: good}, GATE)
    assert report.failures == [failure, f"at batch 1: {failure}"]
    assert json.loads(json.dumps(report.to_json())) == {
        "bound": {"max_scaled_error": 1e-2, "mean_scaled_error": None},
        "failures": [failure, f"at batch 1: {failure}"],
        "whole": dataclasses.asdict(bad),
        "batches": {"1": dataclasses.asdict(bad), "7": dataclasses.asdict(good)},
    }
    without = report_maps(good, {}, WITHOUT_BOUND).to_json()
    assert without["bound"] == {"max_scaled_error": None, "mean_scaled_error": MEAN_BOUND}
