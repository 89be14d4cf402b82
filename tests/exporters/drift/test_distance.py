"""Index and test against SciPy, which computes them another way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exporters.drift.distance import (
    chi_square_p_value,
    chi_square_tail,
    compare_counts,
    population_stability_index,
)

COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=32)


@given(COUNTS)
def test_psi_is_the_sum_of_both_divergences_of_scipy(pairs: list[tuple[int, int]]) -> None:
    expected, found = (np.array(column) + 0.5 for column in zip(*pairs, strict=True))
    divergences = stats.entropy(found, expected) + stats.entropy(expected, found)
    index = population_stability_index(*(list(column) for column in zip(*pairs, strict=True)))
    assert index == pytest.approx(divergences, rel=1e-9, abs=1e-12)


@given(st.lists(st.tuples(st.integers(40, 500), st.integers(40, 500)), min_size=2, max_size=32))
def test_p_value_of_large_bins_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    table = np.array(pairs).T
    expected = stats.chi2_contingency(table, correction=False).pvalue
    assert chi_square_p_value(*table.tolist()) == pytest.approx(expected, rel=1e-8, abs=1e-300)


@pytest.mark.parametrize("degrees", [1, 2, 3, 8, 9, 31])
def test_tail_is_that_of_scipy_from_everything_to_almost_nothing(degrees: int) -> None:
    for statistic in (0.0, 1e-9, 0.3, 1.0, 5.0, 9.0, 40.0, 200.0, 1200.0):
        expected = stats.chi2.sf(statistic, degrees)
        assert chi_square_tail(statistic, degrees) == pytest.approx(expected, rel=1e-9), statistic


def test_small_bins_are_joined_with_their_neighbours() -> None:
    expected, found = [1, 2, 97, 1, 99, 3], [2, 1, 47, 2, 48, 1]
    joined = np.array([[100, 103], [50, 51]])
    assert chi_square_p_value(expected, found) == pytest.approx(stats.chi2_contingency(joined, correction=False).pvalue)


def test_one_bin_or_no_images_tell_nothing() -> None:
    assert chi_square_p_value([100], [7]) == 1
    assert chi_square_p_value([3, 2], [0, 4]) == 1
    assert compare_counts([5, 5], [0, 0]) == (0.0, 1.0)


@given(COUNTS)
def test_equal_histograms_do_not_differ(pairs: list[tuple[int, int]]) -> None:
    counts = [first for first, _ in pairs]
    assert compare_counts(counts, counts) == pytest.approx((0, 1))
