import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.randomness import BatchGenerator, batch_generator, generator

SEEDS = st.integers(0, 2**32 - 1)
INDICES = st.integers(0, 2**40)
ADDRESSES = st.tuples(SEEDS, st.sampled_from(["crop", "flip", "order", "colour"]), st.integers(0, 10**6), INDICES)


@settings(deadline=None, max_examples=60)
@given(ADDRESSES, ADDRESSES)
def test_a_stream_follows_from_its_address_alone(address: tuple, other: tuple) -> None:
    first = generator(*address).random(8)
    generator(*other).random(100)
    assert np.array_equal(generator(*address).random(8), first)
    assert np.array_equal(generator(*other).random(8), first) == (address == other)


def test_each_part_of_the_address_counts() -> None:
    addresses = [(0, "crop", 0, 0), (1, "crop", 0, 0), (0, "flip", 0, 0), (0, "crop", 1, 0), (0, "crop", 0, 1)]
    draws = {tuple(generator(*address).integers(0, 2**63, 4).tolist()) for address in addresses}
    assert len(draws) == len(addresses)
    assert generator(0, "crop").random() == generator(0, "crop", 0, 0).random()


def test_long_streams_of_neighbours_do_not_overlap() -> None:
    streams = [set(generator(7, "crop", epoch, index).bit_generator.random_raw(5000).tolist())
               for epoch in range(2) for index in range(3)]  # fmt: skip
    assert sum(map(len, streams)) == len(set.union(*streams)) == 6 * 5000


def test_first_draws_over_the_indices_are_uniform() -> None:
    draws = np.array([[generator(3, "crop", epoch, index).random() for index in range(500)] for epoch in range(2)])
    counts = np.histogram(draws, bins=10, range=(0, 1))[0]
    assert ((counts - 100) ** 2 / 100).sum() < 27.9  # chi-squared with 9 degrees of freedom: p = 0.001
    assert abs(np.corrcoef(draws)[0, 1]) < 0.15
    assert abs(np.corrcoef(draws[0, :-1], draws[0, 1:])[0, 1]) < 0.15


def test_random_streams_never_change() -> None:
    """Splits, crops and students of earlier runs depend on these bits."""
    assert generator(0, "order").bit_generator.random_raw(2).tolist() == [8549145632225088710, 1643714552346185460]
    assert generator(5, "crop", 3, 11).bit_generator.random_raw(2).tolist() == [
        9228588204911659042,
        15201090050321957011,
    ]


def test_negative_addresses_are_refused() -> None:
    for address in ((0, "crop", -1, 0), (0, "crop", 0, -1)):
        with pytest.raises(OverflowError):
            generator(*address)


DRAWS = st.one_of(
    st.tuples(st.just("random"), st.integers(1, 9)),
    st.tuples(st.just("integers"), st.integers(-(2**40), 2**40), st.integers(1, 2**32 - 2), st.integers(1, 5)),
    st.tuples(st.just("uniform"), st.floats(-10, 10), st.floats(0, 10), st.integers(1, 5)),
    st.tuples(st.just("permutation"), st.integers(1, 8)),
)


@settings(deadline=None, max_examples=120)
@given(seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 10**6), draws=st.lists(DRAWS, min_size=1, max_size=6),
       indices=st.lists(INDICES, min_size=1, max_size=9))  # fmt: skip
def test_batch_gives_the_numbers_of_each_samples_own_generator(seed: int, epoch: int, draws: list, indices: list):
    together = batch_generator(seed, "crop", epoch, np.array(indices))
    alone = [generator(seed, "crop", epoch, index) for index in indices]
    for name, *numbers in draws:
        if name in ("integers", "uniform"):
            numbers[1] += numbers[0]  # width to upper end
        expected = np.stack([getattr(one, name)(*numbers) for one in alone])
        drawn = getattr(together, name)(*numbers)
        assert drawn.dtype == expected.dtype
        np.testing.assert_array_equal(drawn, expected)


@settings(deadline=None, max_examples=60)
@given(spans=st.lists(st.tuples(st.integers(-100, 100), st.integers(1, 2**32 - 2)), min_size=1, max_size=20))
def test_each_sample_of_a_batch_may_have_its_own_range(spans: list[tuple[int, int]]) -> None:
    low, width = np.array(spans).T
    together = batch_generator(3, "crop", 1, np.arange(len(spans)))
    alone = [generator(3, "crop", 1, index) for index in range(len(spans))]
    for _ in range(3):  # a range of one number consumes nothing
        expected = [one.integers(lowest, lowest + size) for one, (lowest, size) in zip(alone, spans, strict=True)]
        assert together.integers(low, low + width, 1)[:, 0].tolist() == expected


def test_integers_drawn_again_are_those_of_numpy() -> None:
    """Of a range just above half of 2^32, every second number is drawn again."""
    together = batch_generator(0, "crop", 0, np.arange(300))
    expected = [generator(0, "crop", 0, index).integers(2**31 + 1, size=4) for index in range(300)]
    np.testing.assert_array_equal(together.integers(0, 2**31 + 1, 4), expected)


@settings(deadline=None, max_examples=60)
@given(shapes=st.lists(st.one_of(st.just(1.0), st.floats(0.01, 1)), min_size=1, max_size=20), seed=SEEDS)
def test_shares_of_a_batch_are_those_of_numpys_beta_distribution(shapes: list[float], seed: int) -> None:
    together = batch_generator(seed, "mixing", 1, np.arange(len(shapes)))
    alone = [generator(seed, "mixing", 1, index) for index in range(len(shapes))]
    for _ in range(3):
        expected = [one.beta(shape, shape) for one, shape in zip(alone, shapes, strict=True)]
        assert together.beta(np.array(shapes)).tolist() == expected


@settings(deadline=None, max_examples=80)
@given(draws=st.lists(DRAWS, max_size=4), later=st.lists(DRAWS, min_size=1, max_size=4), count=st.integers(1, 9),
       seed=st.integers(0, 99))  # fmt: skip
def test_some_streams_go_on_from_where_they_are(draws: list, later: list, count: int, seed: int) -> None:
    chosen = np.random.default_rng(seed).random(count) < 0.6
    together, expected = (batch_generator(seed, "crop", 2, np.arange(count)) for _ in range(2))

    def draw(random: BatchGenerator, name: str, numbers: list) -> np.ndarray:
        if name in ("integers", "uniform"):
            numbers = [numbers[0], numbers[0] + numbers[1], numbers[2]]
        return getattr(random, name)(*numbers)

    for name, *numbers in draws:
        draw(together, name, numbers), draw(expected, name, numbers)
    some = together.streams(chosen)
    for name, *numbers in later:
        np.testing.assert_array_equal(draw(some, name, numbers), draw(expected, name, numbers)[chosen])
    assert draw(together, "random", [1]).shape == (count, 1)  # which are left where they were
    again = batch_generator(seed, "crop", 2, np.arange(count))
    for name, *numbers in draws:
        draw(again, name, numbers)
    np.testing.assert_array_equal(together.random(2)[:, 0], again.random(3)[:, 1])


def test_batch_refuses_what_it_cannot_draw() -> None:
    for epoch, indices in ((-1, [0]), (0, [3, -1])):
        with pytest.raises(OverflowError):
            batch_generator(0, "crop", epoch, np.array(indices))
    for high in (0, 2**32):
        with pytest.raises(ValueError, match="high above low"):
            batch_generator(0, "crop", 0, np.arange(2)).integers(0, high, 1)
    for shape in (0.0, 1.5):
        with pytest.raises(ValueError, match="shapes"):
            batch_generator(0, "mixing", 0, np.arange(2)).beta(np.full(2, shape))


def test_batch_of_no_samples_draws_nothing() -> None:
    nobody = batch_generator(0, "crop", 0, np.arange(0))
    assert nobody.random(3).shape == nobody.integers(0, 5, 3).shape == nobody.permutation(3).shape == (0, 3)
