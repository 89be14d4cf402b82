"""Temperature scaling against another optimiser, in degenerate cases, and never to the harm of validation."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from exporters.core.arrays import softmax
from exporters.core.temperature import LEAST, MOST
from pipeline.evaluation.calibration import calibrate, change_of_calibration_error, fit_temperature, scaled
from pipeline.evaluation.probabilities import calibration_error


def nll(temperature: float, logits: np.ndarray, labels: np.ndarray) -> float:
    """By scipy's log-softmax."""
    return float(-log_softmax(logits.astype(np.float64) / temperature, axis=1)[np.arange(len(labels)), labels].mean())


def drawn(seed: int, count: int, classes: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels from the softmax of logits, and these logits times `sharpness`, which is the temperature to find."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2.0, size=(count, classes))
    labels = (random.gumbel(size=logits.shape) + logits).argmax(axis=1)
    return (sharpness * logits).astype(np.float32), labels


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 2.5, 6.0])
@pytest.mark.parametrize("classes", [2, 10])
def test_temperature_is_that_of_another_optimiser(sharpness: float, classes: int) -> None:
    logits, labels = drawn(classes, 4000, classes, sharpness)
    found = fit_temperature(logits, labels)
    other = minimize_scalar(nll, bounds=(LEAST, MOST), args=(logits, labels), method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(other.x, rel=1e-4)
    grid = np.exp(np.linspace(np.log(LEAST), np.log(MOST), 400))
    assert nll(found, logits, labels) <= min(nll(temperature, logits, labels) for temperature in grid)
    assert found == pytest.approx(sharpness, rel=0.1)


def test_large_sets_are_summed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = drawn(1, 101, 7, 2.0)
    whole = fit_temperature(logits, labels)
    monkeypatch.setattr("pipeline.evaluation.calibration._CHUNK", 70)
    assert fit_temperature(logits, labels) == whole


def test_degenerate_logits_end_at_a_bound_or_at_one() -> None:
    labels = np.arange(6) % 3
    right = 3 * np.eye(3, dtype=np.float32)[labels]
    assert fit_temperature(right, labels) == LEAST
    assert fit_temperature(-right, labels) == MOST
    assert fit_temperature(np.full((6, 3), 4.0, np.float32), labels) == 1.0
    for found in (calibrate((right, labels), {}), calibrate((-right, labels), {})):
        assert found.temperature == 1 and "no optimum between 0.05 and 20" in found.off
    assert "does not improve" in calibrate((np.zeros((6, 3), np.float32), labels), {}).off
    assert "one image is too few" in calibrate((np.float32([[2, 1, -3]]), np.array([1])), {}).off


def test_labels_of_one_class_have_a_temperature() -> None:
    logits, labels = np.float32([[2, 0], [1, 0], [0, 1]]), np.zeros(3, np.int64)
    found = fit_temperature(logits, labels)
    other = minimize_scalar(nll, bounds=(LEAST, MOST), args=(logits, labels), method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(other.x, rel=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        fit_temperature(np.float32([[1, value], [0, 1]]), np.array([0, 1]))


@st.composite
def answered(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    count, classes = draw(st.integers(2, 30)), draw(st.integers(2, 5))
    logits = draw(hnp.arrays(np.float32, (count, classes), elements=st.floats(-20, 20, width=32)))
    return logits, draw(hnp.arrays(np.int64, count, elements=st.integers(0, classes - 1)))


@settings(deadline=None, max_examples=100)
@given(answered(), st.floats(LEAST, MOST))
def test_no_temperature_changes_an_answer(case: tuple[np.ndarray, np.ndarray], temperature: float) -> None:
    logits, _ = case
    np.testing.assert_array_equal(scaled(logits, temperature).argmax(axis=1), logits.argmax(axis=1))
    largest = np.sort(logits, axis=1)
    clear = largest[:, -1] - largest[:, -2] > 1e-3  # nearer ones may have one probability
    answers = softmax(logits, temperature).argmax(axis=1)
    np.testing.assert_array_equal(answers[clear], logits.argmax(axis=1)[clear])


@settings(deadline=None, max_examples=60)
@given(answered())
def test_what_is_applied_is_never_worse_on_validation(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = case
    found = calibrate(case, {})
    before, after = (nll(temperature, logits, labels) for temperature in (1.0, found.temperature))
    assert after <= before + 1e-12
    assert (found.temperature == 1) == bool(found.off)
    if not found.off:
        assert found.cross_fitted is not None and found.cross_fitted.nll < before
        assert change_of_calibration_error(logits, labels, found.temperature)[0] <= 0


@pytest.mark.parametrize("part", [1, 7, 2**22])
def test_change_of_the_calibration_error_is_that_of_resampled_images(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.evaluation.calibration._CHUNK", part * 60)
    logits, labels = drawn(5, 60, 4, 2.0)
    random, changes = np.random.default_rng(0), []
    for _ in range(1000):
        rows = random.integers(60, size=60)
        hot, cold = (calibration_error(scaled(logits[rows], each), labels[rows]) for each in (1.0, 2.0))
        changes.append(cold - hot)
    low, high = change_of_calibration_error(logits, labels, 2.0)
    assert (low, high) == pytest.approx(tuple(np.percentile(changes, [2.5, 97.5])), abs=0.012)
    assert change_of_calibration_error(logits, labels, 1.0) == (0.0, 0.0)


def right_share(answer: int, right: int, images: int, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Two classes: `images` answers with one confidence, of which `right` are right."""
    logits = np.zeros((images, 2), np.float32)
    logits[:, answer] = np.log(confidence / (1 - confidence))
    return logits, np.where(np.arange(images) < right, answer, 1 - answer)


def test_temperature_that_harms_the_calibration_error_beyond_chance_is_off() -> None:
    # What is right less often than said outweighs, in the likelihood, many more that are right more often than said.
    parts = [right_share(0, 350, 400, 0.9999), right_share(1, 1200, 1600, 0.76)]
    logits, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    found = calibrate((logits, labels), {})
    assert found.fitted > 1 and found.cross_fitted is not None
    assert found.cross_fitted.nll < found.before["validation"].nll
    assert found.after["validation"].ece > found.before["validation"].ece
    assert found.temperature == 1 and "beyond chance" in found.off


def test_larger_calibration_error_within_chance_does_not_speak_against_a_temperature() -> None:
    for seed in range(200):
        found = calibrate(drawn(seed, 60, 20, 1.4), {})
        if found.off == "" and found.after["validation"].ece > found.before["validation"].ece:
            return
    pytest.fail("no sample in which the error grows by chance")


def test_figures_are_those_of_each_split_at_both_temperatures() -> None:
    validation, test = drawn(3, 1500, 5, 3.0), drawn(4, 900, 5, 3.0)
    found = calibrate(validation, {"test": test})
    told = found.to_json()
    assert found.off == "" and told["off"] is None and told["temperature"] == found.fitted
    for split, (logits, labels) in {"validation": validation, "test": test}.items():
        figures = told["splits"][split]
        assert figures["images"] == len(labels)
        for when, temperature in (("before", 1.0), ("after", found.temperature)):
            assert figures[f"nll_{when}"] == pytest.approx(nll(temperature, logits, labels))
            expected = calibration_error(logits.astype(np.float64) / temperature, labels)
            assert figures[f"ece_{when}"] == pytest.approx(expected)
        assert figures["ece_after"] < figures["ece_before"] / 3
    assert told["cross_fitted"]["nll"] >= told["splits"]["validation"]["nll_after"]


def test_cross_fitting_has_every_class_in_every_fold_and_sees_no_image_twice() -> None:
    logits, labels = drawn(5, 60, 3, 2.0)
    order = np.argsort(labels, kind="stable")
    losses = []
    for held in range(5):
        inside = order[np.arange(60) % 5 == held]
        others = np.setdiff1d(np.arange(60), inside)
        assert set(labels[inside]) == {0, 1, 2}
        temperature = fit_temperature(logits[others], labels[others])
        losses.append(nll(temperature, logits[inside], labels[inside]))
    crossed = calibrate((logits, labels), {}).cross_fitted
    assert crossed is not None and crossed.nll == pytest.approx(np.mean(losses))


def test_calibrated_logits_are_left_alone_where_fitting_helps_nobody() -> None:
    applied = [calibrate(drawn(seed, 100, 10, 1.0), {}).temperature != 1 for seed in range(20)]
    assert sum(applied) < 10
    overconfident = [calibrate(drawn(seed, 300, 10, 2.5), {}).temperature for seed in range(20)]
    assert all(2 < temperature < 3.2 for temperature in overconfident)
