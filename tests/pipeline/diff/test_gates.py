"""When a gate of `diff` fails: worse by more than is allowed, and worse at all beyond chance."""

from dataclasses import replace
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.benchmark.decision import Ratio
from exporters.core.errors import UsageError
from pipeline.diff.gates import Allowed, Verdict, judge
from pipeline.diff.measure import Measured
from pipeline.diff.pairs import pair, pairs_by_class


def with_answers(measured: Measured, truth: np.ndarray, old: np.ndarray, new: np.ndarray) -> Measured:
    return replace(
        measured,
        overall=pair(old == truth, new == truth),
        classes=pairs_by_class(truth, old, new, [0, 1, 2]),
    )


def one(measured: Measured, **allowed: float) -> Verdict:
    (verdict,) = judge(measured, Allowed(**allowed))
    return verdict


def changed(measured: Measured, images: int, lost: int, gained: int) -> Measured:
    """All images of class 0, of which some changed."""
    truth, old, new = np.zeros((3, images), np.int64)
    new[:lost], old[lost : lost + gained] = 1, 1
    return with_answers(measured, truth, old, new)


def test_no_gate_is_none(measured: Measured) -> None:
    assert judge(measured, Allowed()) == []


def test_drop_fails_beyond_chance_and_more_than_allowed(measured: Measured) -> None:
    worse = changed(measured, 600, 15, 2)  # -2.17 points, p = .002
    assert not one(worse, drop=1).passed and not one(worse, drop=2).passed
    assert one(worse, drop=2.2).passed
    assert one(worse, drop=1).found == pytest.approx(100 * 13 / 600)


def test_drop_by_chance_passes_and_says_what_cannot_be_ruled_out(measured: Measured) -> None:
    few = changed(measured, 30, 3, 0)  # -10 points, p = .25
    verdict = one(few, drop=1)
    assert verdict.passed and "cannot be ruled out" in verdict.why
    assert "cannot be ruled out" not in one(changed(measured, 10_000, 3, 0), drop=1).why


def test_equal_and_better_bundles_pass(measured: Measured) -> None:
    for lost, gained in ((0, 0), (20, 20), (0, 50)):
        assert one(changed(measured, 100, lost, gained), drop=0).passed
        assert one(changed(measured, 100, lost, gained), class_drop=0).passed


def test_equal_bundles_lose_zero_without_a_sign(measured: Measured) -> None:
    same = changed(measured, 100, 0, 0)
    assert [f"{one(same, **{gate: 0}).found:+.2f}" for gate in ("drop", "class_drop")] == ["+0.00", "+0.00"]


def test_class_drop_names_the_class(measured: Measured) -> None:
    truth = np.repeat([0, 1, 2], 40)
    new = truth.copy()
    new[40:52] = 0
    verdict = one(with_answers(measured, truth, truth, new), class_drop=10)
    assert not verdict.passed and "dog -30.00 points of 40 images" in verdict.why and "cat" not in verdict.why
    assert one(with_answers(measured, truth, truth, new), class_drop=30).passed
    new[44:52] = 1  # four of 40, which chance explains
    assert one(with_answers(measured, truth, truth, new), class_drop=0).passed


def test_slower_fails_only_beyond_the_noise(measured: Measured) -> None:
    assert measured.speed is not None
    for ratio, passed in (
        (Ratio(1.3, 1.1, 1.5), False), (Ratio(1.3, 0.9, 1.7), True), (Ratio(1.1, 1.05, 1.2), True),
        (Ratio(0.8, 0.7, 0.9), True),
    ):  # fmt: skip
        timed = replace(measured, speed=replace(measured.speed, times_as_long=ratio))
        assert one(timed, slower=20).passed == passed
    with pytest.raises(UsageError, match="latency"):
        one(replace(measured, speed=None), slower=20)


def test_larger_compares_the_files(measured: Measured) -> None:
    larger = replace(measured, old=replace(measured.old, bytes=1000), new=replace(measured.new, bytes=1100))
    assert one(larger, larger=10).passed and not one(larger, larger=9.9).passed
    assert one(larger, larger=10).found == pytest.approx(10)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_senseless_bounds_are_refused(value: float) -> None:
    with pytest.raises(UsageError, match="--max-class-drop"):
        Allowed(class_drop=value)


def test_verdicts_are_plain_json(measured: Measured) -> None:
    verdict = one(measured, drop=1)
    assert verdict.to_json()["gate"] == "--max-drop" and verdict.to_json()["passed"] is verdict.passed is False


ANSWERS = st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=60)


@given(ANSWERS)
def test_order_of_images_is_irrelevant(measured: Measured, answers: list[tuple[int, int, int]]) -> None:
    there, back = (with_answers(measured, *np.array(each).T) for each in (answers, answers[::-1]))
    allowed = Allowed(drop=1, class_drop=1)
    assert judge(there, allowed) == judge(back, allowed)


@given(ANSWERS)
def test_no_two_bundles_are_each_worse_than_the_other(measured: Measured, answers: list[tuple[int, int, int]]) -> None:
    truth, old, new = np.array(answers).T
    there, back = with_answers(measured, truth, old, new), with_answers(measured, truth, new, old)
    assert one(there, drop=0).passed or one(back, drop=0).passed


def test_two_lost_points_of_a_few_hundred_images_are_found(measured: Measured) -> None:
    verdict = one(changed(measured, 640, 41, 26), drop=1)
    assert not verdict.passed and "one-sided p = 0.043" in verdict.why
    assert one(changed(measured, 640, 39, 26), drop=1).passed


@pytest.mark.parametrize("changes", [4, 5, 20, 67, 200])
def test_equal_pair_fails_in_at_most_one_of_twenty_whatever_the_changes(measured: Measured, changes: int) -> None:
    """Exactly: each changed image of an equal pair is lost with probability ½."""
    failing = [
        lost for lost in range(changes + 1) if not one(changed(measured, 1000, lost, changes - lost), drop=0).passed
    ]
    assert sum(comb(changes, lost) for lost in failing) / 2**changes <= 0.05
    assert (failing == []) == (changes == 4)


@pytest.mark.parametrize(("images", "gate"), [(60, "drop"), (60, "class_drop"), (600, "class_drop")])
def test_equal_pair_passes_in_nineteen_of_twenty_draws(measured: Measured, images: int, gate: str) -> None:
    """Two students of 80 % that err on different images: 400 draws, each with images of its own."""
    random = np.random.default_rng(images)
    passed = 0
    for _ in range(400):
        truth = random.integers(0, 3, images)
        old, new = (np.where(random.random(images) < 0.8, truth, (truth + 1) % 3) for _ in range(2))
        passed += one(with_answers(measured, truth, old, new), **{gate: 0}).passed
    assert 380 <= passed < 400
