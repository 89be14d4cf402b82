"""Paired statistics against small cases by hand, exact fractions, published tables, and what intervals promise."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.evaluation.paired import (
    bootstrap_interval,
    mcnemar_exact,
    mean_and_std,
    paired_difference,
    student_t_interval,
)

Results = dict[int, np.ndarray]


def results(*rows: str, start: int = 0) -> Results:
    """Seed → whether each image is right, from rows such as `1101`."""
    return {start + seed: np.array([character == "1" for character in row]) for seed, row in enumerate(rows)}


def test_mean_and_std_equal_those_computed_by_hand() -> None:
    # 2, 4, 9: mean 5, squares 9 + 1 + 16 = 26, over 2.
    spread = mean_and_std([2.0, 4.0, 9.0])
    assert (spread.mean, spread.std, spread.count) == (5.0, pytest.approx(math.sqrt(13)), 3)
    assert mean_and_std([0.25]).std is None and mean_and_std([0.25]).mean == 0.25
    assert mean_and_std([0.1] * 3).std == pytest.approx(0, abs=1e-15)


def test_paired_difference_equals_one_computed_by_hand() -> None:
    first = results("1111", "1100", "0111")
    second = results("1100", "1010", "0111")
    found = paired_difference(first, second)
    assert found.seeds == (0, 1, 2) and found.images == 4
    assert found.differences == (0.5, 0.0, 0.0)
    assert found.mean == pytest.approx(1 / 6)
    assert found.std == pytest.approx(math.sqrt(1 / 12))  # (1/3)² + 2·(1/6)² = 1/6, over 2
    assert [(test.gained, test.lost, test.p) for test in found.mcnemar] == [
        (2, 0, pytest.approx(0.5)),  # 2·(1/4)
        (1, 1, 1.0),
        (0, 0, 1.0),
    ]
    half = 4.3026527 * math.sqrt(1 / 12) / math.sqrt(3)
    assert found.t_interval == (pytest.approx(1 / 6 - half), pytest.approx(1 / 6 + half))


def test_only_common_seeds_count() -> None:
    first, second = results("11", "10", "01"), results("00", "10", start=1)
    found = paired_difference(first, second)
    assert found.seeds == (1, 2)
    assert found.differences == (0.5, 0.0)
    with pytest.raises(ValueError, match="common seed"):
        paired_difference(results("11"), results("11", start=1))


def test_different_images_are_refused() -> None:
    with pytest.raises(ValueError, match="different images"):
        paired_difference(results("11"), results("110"))


def test_one_seed_has_an_interval_over_images_and_none_over_seeds() -> None:
    found = paired_difference(results("11101111"), results("10001110"))
    assert found.std is None and found.t_interval is None and not found.seeds_alone_suffice
    assert found.interval[0] < found.mean < found.interval[1]


def test_an_arm_is_not_distinguishable_from_itself() -> None:
    arm = results("110101", "011101")
    found = paired_difference(arm, arm)
    assert found.mean == 0 and found.interval == (0.0, 0.0) and found.t_interval is None
    assert [test.p for test in found.mcnemar] == [1.0, 1.0]
    assert found.verdict == "not distinguishable" and not found.seeds_alone_suffice


@settings(deadline=None, max_examples=30)
@given(arrays(np.bool_, st.tuples(st.just(2), st.integers(1, 4), st.integers(1, 40))))
def test_swapped_arms_flip_every_sign(values: np.ndarray) -> None:
    first, second = (dict(enumerate(rows)) for rows in values)
    there, back = paired_difference(first, second, 500), paired_difference(second, first, 500)
    assert back.differences == tuple(-value for value in there.differences)
    assert back.mean == -there.mean and back.std == there.std
    assert back.interval == (-there.interval[1], -there.interval[0])
    if there.t_interval is not None:
        assert back.t_interval == (-there.t_interval[1], -there.t_interval[0])
    assert [(test.lost, test.gained, test.p) for test in back.mcnemar] == [
        (test.gained, test.lost, test.p) for test in there.mcnemar
    ]
    opposite = {"better": "worse", "worse": "better", "not distinguishable": "not distinguishable"}
    assert back.verdict == opposite[there.verdict]


@pytest.mark.parametrize(
    ("gained", "lost", "verdict"),
    [(60, 20, "better"), (20, 60, "worse"), (41, 40, "not distinguishable"), (0, 0, "not distinguishable")],
)
def test_the_verdict_is_where_the_interval_lies(gained: int, lost: int, verdict: str) -> None:
    images = np.arange(400)
    first = {seed: (images - 100 * seed) % 400 < gained for seed in range(3)}
    second = {seed: (images - 100 * seed) % 400 >= 400 - lost for seed in range(3)}
    found = paired_difference(first, second)
    assert found.verdict == verdict
    assert found.mean == pytest.approx((gained - lost) / 400)
    assert not found.seeds_alone_suffice and found.t_interval is None  # all seeds say the same


def exact_distribution(gains: np.ndarray) -> dict[Fraction, Fraction]:
    """The bootstrap's whole distribution, over every way to draw seeds and images."""
    seeds, images = gains.shape
    chances: dict[Fraction, Fraction] = {}
    share = Fraction(1, seeds**seeds * images**images)
    for drawn_seeds in product(range(seeds), repeat=seeds):
        for drawn_images in product(range(images), repeat=images):
            total = sum(int(gains[seed, image]) for seed in drawn_seeds for image in drawn_images)
            value = Fraction(total, seeds * images)
            chances[value] = chances.get(value, Fraction(0)) + share
    return chances


@pytest.mark.parametrize("gains", [[[1, 0, -1, 1]], [[1, 1, 0, 1], [0, 1, 0, -1]]])
def test_bootstrap_samples_the_whole_distribution(gains: list[list[int]]) -> None:
    """The ends lie at quantiles of the distribution by enumeration, as near to 2.5 % as its steps and chance allow."""
    chances = exact_distribution(np.array(gains))
    low, high = (
        Fraction(bound).limit_denominator(100) for bound in bootstrap_interval(np.array(gains, dtype=np.int8), 20_000)
    )
    below = float(sum(chance for value, chance in chances.items() if value < low))
    up_to = float(sum(chance for value, chance in chances.items() if value <= low))
    assert below <= 0.025 + 0.004 and up_to >= 0.025 - 0.004
    above = float(sum(chance for value, chance in chances.items() if value > high))
    from_there = float(sum(chance for value, chance in chances.items() if value >= high))
    assert above <= 0.025 + 0.004 and from_there >= 0.025 - 0.004


def test_seeds_that_differ_widen_the_interval() -> None:
    """Every image gained under one seed, none under the other: the mean of two drawn seeds is 0, ½ or 1."""
    assert bootstrap_interval(np.array([[1] * 50, [0] * 50], dtype=np.int8)) == (0.0, 1.0)
    assert bootstrap_interval(np.array([[1] * 50, [1] * 50], dtype=np.int8)) == (1.0, 1.0)


def test_the_interval_of_one_seed_is_that_of_a_mean_of_images() -> None:
    random = np.random.default_rng(1)
    gains = random.choice([-1, 0, 1], p=[0.1, 0.7, 0.2], size=(1, 4000)).astype(np.int8)
    low, high = bootstrap_interval(gains)
    error = gains.std() / math.sqrt(4000)
    assert (low, high) == (
        pytest.approx(gains.mean() - 1.96 * error, abs=0.05 * error),
        pytest.approx(gains.mean() + 1.96 * error, abs=0.05 * error),
    )


def test_the_same_results_give_the_same_interval() -> None:
    gains = np.random.default_rng(2).choice([-1, 0, 1], size=(3, 10_000)).astype(np.int8)
    assert bootstrap_interval(gains) == bootstrap_interval(gains.copy())


def test_many_seeds_and_images_are_sampled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = np.random.default_rng(3).choice([-1, 0, 1], size=(4, 300)).astype(np.int8)
    whole = bootstrap_interval(gains, 1000)
    monkeypatch.setattr("pipeline.evaluation.paired._CELLS", 1000)
    assert bootstrap_interval(gains, 1000) == whole


def covered(random: np.random.Generator, seeds: int, images: int) -> bool:
    """Whether the interval of one drawn experiment holds the true difference, of nearly 2 points.

    An image has a difficulty that both arms and all seeds share, and a run has luck of its own.
    """
    difficulty = random.beta(2, 1, size=images)
    first, second = (
        {seed: random.random(images) < difficulty + shift for seed in range(seeds)} for shift in (0.01, -0.01)
    )
    low, high = paired_difference(first, second, 1000).interval
    return low <= np.mean(np.clip(GRID + 0.01, 0, 1) - np.clip(GRID - 0.01, 0, 1)) <= high


GRID = np.sqrt((np.arange(100_000) + 0.5) / 100_000)
"""Quantiles of Beta(2, 1)."""


@pytest.mark.parametrize(("seeds", "at_least"), [(1, 0.91), (3, 0.94)])
def test_interval_has_its_stated_coverage(seeds: int, at_least: float) -> None:
    """95 % is promised; 300 experiments have a standard error of 1.3 points. Several seeds are on the safe side."""
    random = np.random.default_rng(4)
    assert np.mean([covered(random, seeds, 500) for _ in range(300)]) >= at_least


# Two-sided 95 %, as tables of Student's distribution print it.
T_TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 29: 2.045, 30: 2.042, 120: 1.980}


@pytest.mark.parametrize(("degrees", "quantile"), T_TABLE.items())
def test_t_intervals_have_the_quantile_of_the_table(degrees: int, quantile: float) -> None:
    # One 1 among zeros: mean 1/n, variance 1/n, so that the half width is t/n.
    count = degrees + 1
    low, high = student_t_interval([1.0] + [0.0] * degrees)
    assert count * (high - low) / 2 == pytest.approx(quantile, abs=5.01e-4)
    assert (low + high) / 2 == pytest.approx(1 / count)


def test_seeds_that_gave_the_same_difference_give_no_t_interval() -> None:
    first, second = results("11110", "01111", "10111"), results("11000", "00011", "10010")
    found = paired_difference(first, second)
    assert found.differences == (0.4, 0.4, 0.4) and found.t_interval is None and not found.seeds_alone_suffice
    assert found.std == pytest.approx(0, abs=1e-15) and found.interval[0] < 0.4 < found.interval[1]


def test_the_t_interval_by_hand() -> None:
    # 1, 2, 3: mean 2, std 1, so 2 ± 4.302653/√3.
    low, high = student_t_interval([1.0, 2.0, 3.0])
    assert (low, high) == (pytest.approx(2 - 2.4841377, abs=1e-6), pytest.approx(2 + 2.4841377, abs=1e-6))
    with pytest.raises(ValueError, match="one value"):
        student_t_interval([1.0])


def exact_p(gained: int, lost: int) -> Fraction:
    """In whole numbers."""
    total = gained + lost
    tail = Fraction(sum(math.comb(total, k) for k in range(min(gained, lost) + 1)), 2**total)
    return min(Fraction(1), 2 * tail)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_sum(gained: int, lost: int) -> None:
    assert mcnemar_exact(gained, lost).p == pytest.approx(float(exact_p(gained, lost)), rel=1e-10)


def test_mcnemar_of_thousands_neither_overflows_nor_loses_digits() -> None:
    assert mcnemar_exact(2100, 1900).p == pytest.approx(float(exact_p(2100, 1900)), rel=1e-9)
    assert 0 < mcnemar_exact(2000, 1500).p < 1e-10
    assert mcnemar_exact(50_000, 50_000).p == 1.0
    assert mcnemar_exact(20_000, 0).p == 0.0  # 2^-19999 is below every float
