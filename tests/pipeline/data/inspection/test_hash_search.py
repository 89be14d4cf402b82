import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.inspection import hash_search as module
from pipeline.data.inspection.hash_search import close_pairs, distances

HASH = st.integers(0, 2**64 - 1)


def brute_force(ours: list[int], theirs: list[int], radius: int) -> set[tuple[int, int, int]]:
    every = ((i, j, (a ^ b).bit_count()) for i, a in enumerate(ours) for j, b in enumerate(theirs))
    return {(i, j, apart) for i, j, apart in every if apart <= radius}


def searched(ours: list[int], theirs: list[int], radius: int) -> list[tuple[int, int, int]]:
    found = close_pairs(np.array(ours, np.uint64), np.array(theirs, np.uint64), radius)
    return [row for pairs in found for row in zip(*(part.tolist() for part in pairs), strict=True)]


@st.composite
def related(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Hashes of which many differ in few bits, or in none."""
    seeds = draw(st.lists(HASH, min_size=1, max_size=4))
    flips = st.lists(st.integers(0, 63), max_size=14)
    near = st.builds(lambda seed, bits: seed ^ sum(1 << bit for bit in set(bits)), st.sampled_from(seeds), flips)
    return draw(st.lists(near, max_size=12)), draw(st.lists(near | HASH, max_size=12))


@settings(max_examples=60, deadline=None)
@given(related(), st.integers(0, 12))
def test_search_finds_what_brute_force_finds_each_pair_once(hashes: tuple[list[int], list[int]], radius: int) -> None:
    ours, theirs = hashes
    found = searched(ours, theirs, radius)
    assert len(found) == len(set(found)) and set(found) == brute_force(ours, theirs, radius)


def test_small_blocks_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    ours = [int(value) for value in random.integers(0, 2**64, 60, dtype=np.uint64)]
    theirs = [value ^ (1 << int(random.integers(64))) for value in ours] + [0] * 40
    ours += [0] * 5
    monkeypatch.setattr(module, "BLOCK", 7)
    found = searched(ours, theirs, 10)
    assert len(found) == len(set(found)) and set(found) == brute_force(ours, theirs, 10)


def test_hashes_that_need_no_more_pairs_are_left_out_from_then_on() -> None:
    ours, skip = np.zeros(3, np.uint64), np.zeros(3, bool)
    theirs = np.array([0, 1 << 16, 1], np.uint64)  # the last is found by its other parts alone
    seen: list[int] = []
    for here, _there, _apart in close_pairs(ours, theirs, 4, skip):
        seen += here.tolist()
        skip[:] = True
    assert sorted(seen) == [0, 0, 1, 1, 2, 2]
    assert not list(close_pairs(ours, theirs, 4, skip))


@given(st.lists(st.tuples(HASH, HASH), max_size=10))
def test_distance_is_the_number_of_differing_bits(pairs: list[tuple[int, int]]) -> None:
    ours, theirs = (np.array([pair[side] for pair in pairs], np.uint64) for side in (0, 1))
    assert distances(ours, theirs).tolist() == [(a ^ b).bit_count() for a, b in pairs]
