import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exporters.audit.texts import audit_texts
from exporters.core.errors import GateError
from exporters.core.files import dump_json
from exporters.drift.reference import DriftReference
from exporters.drift.values import STATISTICS
from tests.exporters.drift.streams import draw

REFERENCE = DriftReference.of_values(draw(np.random.default_rng(0), 1000), 10)


def test_bins_hold_about_a_tenth_of_the_images_each() -> None:
    for name in ("brightness", "contrast", "sharpness", "score"):
        assert len(REFERENCE.counts[name]) == 10
        assert all(90 <= count <= 110 for count in REFERENCE.counts[name])
    values = draw(np.random.default_rng(0), 1000)
    assert REFERENCE.counts["class"] == tuple(np.bincount(values[:, 6].astype(int), minlength=10).tolist())


def test_few_images_have_fewer_bins() -> None:
    reference = DriftReference.of_values(draw(np.random.default_rng(0), 100), 10)
    assert len(reference.counts["brightness"]) == 4 and min(reference.counts["brightness"]) >= 24


def test_value_that_many_images_share_has_a_bin_of_its_own() -> None:
    edges = REFERENCE.edges["size"]
    place = edges.index(499.5)
    assert edges[place + 1] == 500.5
    assert REFERENCE.counts["size"][place + 1] == pytest.approx(500, abs=60)


def test_images_of_one_size_leave_room_for_smaller_and_larger_ones() -> None:
    values = draw(np.random.default_rng(0), 200)
    values[:, 3] = 96
    reference = DriftReference.of_values(values, 10)
    assert (reference.edges["size"], reference.counts["size"]) == ((95.5, 96.5), (0, 200, 0))


def test_bins_are_those_of_numpys_histogram_and_unknown_values_have_none() -> None:
    values = draw(np.random.default_rng(1), 300)
    bins = REFERENCE.bins_of(values)
    for column, name in enumerate(STATISTICS[:-1]):
        inner = REFERENCE.edges[name]
        expected, _ = np.histogram(values[:, column], [-np.inf, *inner, np.inf])
        np.testing.assert_array_equal(np.bincount(bins[:, column], minlength=len(inner) + 1), expected)
    values[5, 3] = np.nan
    again = REFERENCE.bins_of(values)
    assert again[5, 3] == -1 and (np.delete(again, 5, 0) == np.delete(bins, 5, 0)).all()


@pytest.mark.parametrize("classes", [2, 32, 33, 1000, 21_841])
def test_many_classes_share_bins_in_their_order(classes: int) -> None:
    values = draw(np.random.default_rng(2), 500, classes)
    reference = DriftReference.of_values(values, classes)
    numbers = np.zeros((classes, 7))
    numbers[:, 6] = np.arange(classes)
    bins = reference.bins_of(numbers)[:, 6]
    assert (np.diff(bins) >= 0).all() and sorted(set(bins.tolist())) == list(range(min(classes, 32)))
    sizes = np.bincount(bins)
    assert sizes.max() - sizes.min() <= 1 and sum(reference.counts["class"]) == 500


def test_file_is_read_back_and_is_small() -> None:
    data = dump_json(REFERENCE.to_json()).encode()
    assert DriftReference.from_json("drift.json", json.loads(data), 10) == REFERENCE
    assert len(data) < 4000
    audit_texts({"drift.json": data}, 10)


def test_same_values_give_the_same_file_whatever_their_last_bits() -> None:
    values = draw(np.random.default_rng(3), 400)
    moved = values * (1 + 1e-13)
    moved[:, 6] = values[:, 6]
    first, second = (DriftReference.of_values(each, 10).to_json() for each in (values, moved))
    assert first == second


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: value.update(more=1), "other keys"),
        (lambda value: value.update(images=99), "images is no whole number"),
        (lambda value: value.update(images=1000.0), "images is no whole number"),
        (lambda value: value["statistics"].pop("size"), "other statistics"),
        (lambda value: value["statistics"]["size"].update(note="x"), "size has other keys"),
        (lambda value: value["statistics"]["class"].update(edges=[1.0]), "class has other keys"),
        (lambda value: value["statistics"]["score"]["edges"].reverse(), "score has edges that do not rise"),
        (lambda value: value["statistics"]["score"].update(edges=[float("inf")]), "no decimal number"),
        (lambda value: value["statistics"]["score"].update(edges=[0.12345678]), "more than six digits"),
        (lambda value: value["statistics"]["score"].update(edges=[]), "1 to 31 edges"),
        (lambda value: value["statistics"]["score"]["counts"].append(0), "the counts of 10 bins"),
        (lambda value: value["statistics"]["score"]["counts"].__setitem__(0, -1), "do not add up to 1,000"),
        (lambda value: value["statistics"]["class"]["counts"].__setitem__(0, True), "do not add up to 1,000"),
    ],
)
def test_file_that_says_something_else_is_refused(change: Callable[[Any], None], said: str) -> None:
    value = copy.deepcopy(REFERENCE.to_json())
    change(value)
    with pytest.raises(GateError, match=said):
        DriftReference.from_json("drift.json", value, 10)
    with pytest.raises(GateError, match="other keys"):
        DriftReference.from_json("drift.json", [value], 10)
