import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.core.growing import GrowingArray


@given(st.lists(st.integers(0, 900), min_size=1, max_size=12), st.sampled_from([(), (3,), (2, 2)]))
def test_rows_come_back_whole_and_in_their_parts(lengths: list[int], shape: tuple[int, ...]) -> None:
    random, grown = np.random.default_rng(0), GrowingArray()
    given_parts = [random.normal(size=(length, *shape)).astype(np.float32) for length in lengths]
    for part in given_parts:
        again = part.copy()
        grown.add(again)
        again[:] = 0  # what was added is a copy
    whole = np.concatenate(given_parts)
    assert len(grown) == len(whole) and grown.array().dtype == np.float32
    np.testing.assert_array_equal(grown.array(), whole)
    assert len(grown.parts()) == len(given_parts)
    for found, part in zip(grown.parts(), given_parts, strict=True):
        np.testing.assert_array_equal(found, part)


def test_nothing_was_added() -> None:
    grown = GrowingArray()
    assert len(grown) == 0 and grown.parts() == []
    with pytest.raises(ValueError, match="no rows"):
        grown.array()


@pytest.mark.parametrize("other", [np.zeros((2, 1), np.float32), np.zeros((2, 3), np.float64), np.zeros(3, np.float32)])
def test_other_rows_are_refused(other: np.ndarray) -> None:
    grown = GrowingArray()
    grown.add(np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="after float32"):
        grown.add(other)
    assert len(grown) == 2
