import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.distributed.parts import WHOLE, Part, own_batches, own_images


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 7))
def test_parts_in_their_order_are_the_batches_of_one_process(count: int, size: int, batches: int):
    order = np.random.default_rng(0).permutation(count * size * batches)
    parts = [own_images(order, count * size, Part(number, count)) for number in range(count)]
    assert all(own_size == size for _own, own_size in parts)
    for step in range(batches):
        together = np.concatenate([own[step * size : (step + 1) * size] for own, _size in parts])
        assert together.tolist() == order[step * count * size : (step + 1) * count * size].tolist()


def test_the_whole_is_left_as_it_is():
    order = np.arange(7)
    assert own_images(order, 3, WHOLE) == (order, 3)
    assert list(own_batches([1, 2, 3], WHOLE)) == [1, 2, 3]


def test_a_single_batch_that_is_not_full_is_divided_too():
    own, size = own_images(np.arange(6), 64, Part(1, 2))
    assert own.tolist() == [3, 4, 5]
    assert size == 3


@pytest.mark.parametrize(("images", "batch_size"), [(9, 3), (3, 64), (10, 4)])
def test_batches_without_equal_parts_are_refused(images: int, batch_size: int):
    with pytest.raises(UsageError, match="cannot be divided among 2 processes"):
        own_images(np.arange(images), batch_size, Part(0, 2))


@given(st.integers(1, 6), st.integers(0, 20))
def test_each_batch_of_an_evaluation_belongs_to_one_part(count: int, batches: int):
    parts = [list(own_batches(range(batches), Part(number, count))) for number in range(count)]
    assert sorted(batch for part in parts for batch in part) == list(range(batches))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
