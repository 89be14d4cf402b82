"""False alarms and power over streams of drawn values, and what is counted."""

import json

import numpy as np
import pytest

from exporters.drift.distance import compare_counts
from exporters.drift.reference import DriftReference, value_rows
from exporters.drift.values import STATISTICS, answer_values, image_size, pixel_values
from exporters.drift.window import FALSE_ALARMS, DriftWindow, Look
from tests.exporters.drift.streams import draw

SHIFTS = {
    "brightness": lambda values: values * 0.5,
    "contrast": lambda values: values * 0.7,
    "sharpness": lambda values: values * 0.4,
    "size": lambda values: values * 0 + 224,
    "confidence": lambda values: values - 0.15,
    "score": lambda values: values - 2.5,
    "class": lambda values: values * 0 + 1,
}


@pytest.mark.parametrize(("images", "classes"), [(100, 10), (500, 200), (2000, 10)])
def test_ten_thousand_images_of_the_same_kind_raise_no_alarm(images: int, classes: int) -> None:
    """In any of 20 streams, whose reference is drawn too."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        reference = DriftReference.of_values(draw(random, images, classes), classes)
        looks: list[Look] = []
        window = DriftWindow(reference, 500, 0.2, looks.append)
        for _ in range(100):
            window.add_values(draw(random, 100, classes))
        assert window.seen == 10_000 and len(looks) == 100
        assert not any(alarm for look in looks for alarm in look.alarms.values()), seed


@pytest.mark.parametrize("name", STATISTICS)
def test_shift_of_one_statistic_raises_its_alarm_within_500_images(name: str) -> None:
    column = STATISTICS.index(name)
    for seed in range(20):
        random = np.random.default_rng(seed)
        window = DriftWindow(DriftReference.of_values(draw(random, 300), 10), 500, 0.2)
        for _ in range(20):
            window.add_values(draw(random, 100))
        for _ in range(50):
            values = draw(random, 10)
            values[:, column] = SHIFTS[name](values[:, column])
            window.add_values(values)
        assert window.look is not None
        assert [which for which, alarm in window.look.alarms.items() if alarm] == [name], seed


def test_alarm_ends_when_the_images_are_like_validation_again() -> None:
    random = np.random.default_rng(0)
    window = DriftWindow(DriftReference.of_values(draw(random, 300), 10), 200, 0.2)
    states = []
    for dark in (False, True, False):
        for _ in range(5):
            values = draw(random, 100)
            values[:, 0] *= 0.3 if dark else 1
            window.add_values(values)
        assert window.look is not None
        states.append(window.look.alarms["brightness"])
    assert states == [False, True, False]


def test_levels_of_all_looks_add_up_to_the_rate_of_false_alarms() -> None:
    looks: list[Look] = []
    random = np.random.default_rng(0)
    window = DriftWindow(DriftReference.of_values(draw(random, 100), 10), 100, 0.2, looks.append)
    for _ in range(1000):
        window.add_values(draw(random, 20))
    spent = sum(look.level for look in looks) * len(STATISTICS)
    assert len(looks) > 900 and 0.998 * FALSE_ALARMS < spent < FALSE_ALARMS


def test_difference_below_the_least_psi_raises_no_alarm() -> None:
    random = np.random.default_rng(0)
    reference = DriftReference.of_values(draw(random, 20_000), 10)
    alarms = []
    for least in (0.0, 0.2):
        window = DriftWindow(reference, 20_000, least)
        for _ in range(4):
            values = draw(np.random.default_rng(1), 10_000)
            values[:, 0] += 4
            window.add_values(values)
        assert window.look is not None
        assert window.look.comparisons["brightness"].p_value < 1e-9
        alarms.append(window.look.alarms["brightness"])
    assert alarms == [True, False]


def test_window_holds_the_last_images_and_no_others() -> None:
    random = np.random.default_rng(0)
    reference = DriftReference.of_values(draw(random, 300), 10)
    window, stream = DriftWindow(reference, 130, 0.2), draw(random, 700)
    stream[::3, 3] = np.nan
    for start in range(0, 700, 35):
        window.add_values(stream[start : start + 35])
        told = window.to_json()
        last = stream[max(0, start + 35 - 130) : start + 35]
        bins = reference.bins_of(last)
        assert told["images"] == len(last) and told["seen"] == start + 35
        for column, name in enumerate(STATISTICS):
            expected = [int((bins[:, column] == place).sum()) for place in range(len(reference.counts[name]))]
            assert told["statistics"][name]["window"] == expected


def test_images_and_answers_are_measured_as_for_the_reference() -> None:
    random = np.random.default_rng(0)
    window = DriftWindow(DriftReference.of_values(draw(random, 300), 10), 100, 0.2)
    reference = window._reference
    images = random.integers(0, 256, (40, 32, 32, 3), np.uint8)
    logits = random.normal(0, 3, (40, 10)).astype(np.float32)
    for index in range(40):
        window.add(images[index : index + 1], logits[index : index + 1], (640, 480))
    told = window.to_json()
    values = value_rows(pixel_values(images), [image_size(640, 480)] * 40, answer_values(logits))
    bins = reference.bins_of(values)
    for column, name in enumerate(STATISTICS):
        size = len(reference.counts[name])
        assert told["statistics"][name]["window"] == np.bincount(bins[:, column], minlength=size).tolist()
    json.dumps(told)


def test_prepared_images_have_no_size_and_count_up_to_sixteen_of_a_request() -> None:
    random = np.random.default_rng(0)
    window = DriftWindow(DriftReference.of_values(draw(random, 300), 10), 100, 0.2)
    window.add(random.integers(0, 256, (64, 8, 8, 3), np.uint8), random.normal(0, 3, (64, 10)).astype(np.float32))
    told = window.to_json()
    assert told["seen"] == 16
    assert sum(told["statistics"]["size"]["window"]) == 0 and sum(told["statistics"]["class"]["window"]) == 16


def test_answers_that_are_not_finite_are_left_out() -> None:
    window = DriftWindow(DriftReference.of_values(draw(np.random.default_rng(0), 300), 10), 100, 0.2)
    window.add(np.zeros((1, 8, 8, 3), np.uint8), np.full((1, 10), np.nan, np.float32))
    assert window.to_json()["seen"] == 0 and window.to_json()["statistics"]["score"]["psi"] is None


def test_what_was_found_is_what_the_histograms_of_that_moment_give() -> None:
    random = np.random.default_rng(4)
    window = DriftWindow(DriftReference.of_values(draw(random, 300), 10), 100, 0.2)
    window.add_values(draw(random, 100))
    told = window.to_json()
    for entry in told["statistics"].values():
        assert (entry["psi"], entry["p_value"]) == compare_counts(entry["reference"], entry["window"])
    assert told["looks"] == 1 and told["level"] == FALSE_ALARMS / (len(STATISTICS) * 2)
