import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.quantize.histogram import BINS, Histogram


def histogram(values: np.ndarray) -> Histogram:
    result = Histogram(float(values.min()), float(values.max()))
    result.add(values)
    return result


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 999), percentile=st.sampled_from([90.0, 99.0, 99.9, 100.0]), spread=st.floats(0.01, 100))
def test_percentiles_match_numpy_within_a_bin(seed: int, percentile: float, spread: float) -> None:
    random = np.random.default_rng(seed)
    values = (random.normal(1, spread, (5, 40, 50))).astype(np.float32)
    low, high = histogram(values).percentile(percentile)
    exact = np.percentile(values.astype(np.float64), [100 - percentile, percentile], method="inverted_cdf")
    width = (float(values.max()) - float(values.min())) / BINS
    # At the lower end NumPy may take the value after the one that the histogram stops at.
    following = np.sort(values.reshape(-1))[np.searchsorted(np.sort(values.reshape(-1)), exact[0]) + 1]
    assert exact[0] - 1.1 * width <= low <= following + 1.1 * width
    assert abs(high - exact[1]) <= 1.1 * width


def test_histogram_of_parts_equals_histogram_of_the_whole() -> None:
    values = np.random.default_rng(0).normal(size=(7, 300)).astype(np.float32)
    parts = Histogram(float(values.min()), float(values.max()))
    for row in values:
        parts.add(row)
    whole = histogram(values)
    np.testing.assert_array_equal(parts.counts, whole.counts)
    assert parts.counts.sum() == values.size


def test_entropy_cuts_outliers_off_and_nothing_else() -> None:
    random = np.random.default_rng(0)
    body = random.normal(size=200_000).astype(np.float32)
    outliers = np.array([-60, 80, 100], np.float32)
    low, high = histogram(np.concatenate([body, outliers])).entropy()
    assert -12 < low < -3
    assert 3 < high < 12
    even = random.uniform(-1, 1, 200_000).astype(np.float32)
    low, high = histogram(even).entropy()
    assert low < -0.98
    assert high > 0.98


def test_entropy_is_not_misled_by_the_zeros_of_a_relu() -> None:
    values = np.maximum(np.random.default_rng(0).normal(size=200_000), 0).astype(np.float32)
    values[:150_000] *= 0
    low, high = histogram(values).entropy()
    assert low == 0
    assert np.mean(values[values > 0] > high) < 0.01


def test_single_value_gives_a_range_without_width() -> None:
    values = np.full(10, 2.5, np.float32)
    assert histogram(values).percentile(99) == (2.5, 2.5)
    assert histogram(values).entropy() == (2.5, 2.5)
