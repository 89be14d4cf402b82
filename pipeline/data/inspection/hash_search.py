"""Pairs of 64-bit hashes that differ in few bits, found without comparing each with each."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

PARTS, WIDTH = 4, 16
"""A hash is cut into so many parts of so many bits."""

BLOCK = 1 << 20
"""Candidates that are compared at once, which bounds the memory: some 50 MB."""

_BITS = np.array([value.bit_count() for value in range(1 << WIDTH)], dtype=np.uint8)


def distances(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Number of bits in which hashes differ (Hamming distance), uint8 `[N]`, of uint64 `[N]` each."""
    parts = _BITS[_parts(ours ^ theirs)]
    total: np.ndarray = parts.sum(axis=1, dtype=np.uint8)
    return total


def close_pairs(
    ours: np.ndarray, theirs: np.ndarray, radius: int, skip: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Every pair of hashes at a distance of at most `radius`, each once.

    Multi-index hashing (Norouzi, Punjani and Fleet 2012, "Fast Search in Hamming Space with Multi-Index Hashing"): of
    two hashes that differ in at most r bits, one of the four parts of 16 bits differs in at most r/4 (pigeonhole). So
    `theirs` are sorted by each part, and for each of `ours` only the buckets are looked at that differ from its part in
    so few bits: for r = 10, 137 of 65,536 for each part. Hashes that spread evenly make that N·M/120 comparisons.
    Where all of them are alike, it is at most 4·N·M. Comparisons are made in blocks of at most about a million, or of
    one bucket.

    Args:
        ours: uint64 `[N]`.
        theirs: uint64 `[M]`.
        radius: bits, 0 to 63.
        skip: bool `[N]`, those of `ours` that need no further pairs; it may be changed between two yields.

    Yields:
        Positions in `ours` and in `theirs`, int64, and their distances, uint8, all `[P]`.
    """
    flips = radius // PARTS
    masks = [sum(1 << bit for bit in bits) for count in range(flips + 1) for bits in combinations(range(WIDTH), count)]
    our_parts, their_parts = _parts(ours), _parts(theirs)
    for part in range(PARTS):
        order = np.argsort(their_parts[:, part], kind="stable")
        begins = np.zeros((1 << WIDTH) + 1, np.int64)
        np.cumsum(np.bincount(their_parts[:, part], minlength=1 << WIDTH), out=begins[1:])
        for mask in masks:
            bucket = our_parts[:, part] ^ np.uint16(mask)
            starts = begins[bucket]
            counts = begins[bucket.astype(np.int64) + 1] - starts
            if skip is not None:
                counts[skip] = 0
            for first, last in _blocks(counts):
                here = np.repeat(np.arange(first, last), counts[first:last])
                ends = np.cumsum(counts[first:last])
                within = np.arange(len(here)) - np.repeat(ends - counts[first:last], counts[first:last])
                there = order[np.repeat(starts[first:last], counts[first:last]) + within]
                apart = distances(ours[here], theirs[there])
                near = np.flatnonzero(apart <= radius)
                here, there, apart = here[near], there[near], apart[near]
                # A pair that an earlier part has found already.
                earlier = _BITS[our_parts[here, :part] ^ their_parts[there, :part]] <= flips
                new = ~earlier.any(axis=1)
                if new.any():
                    yield here[new], there[new], apart[new]


def _parts(hashes: np.ndarray) -> np.ndarray:
    """uint64 `[N]` as uint16 `[N, 4]`."""
    parts: np.ndarray = np.ascontiguousarray(hashes, dtype=np.uint64).view(np.uint16).reshape(-1, PARTS)
    return parts


def _blocks(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Runs of rows with at most `BLOCK` candidates together, or of one row; runs without any are left out."""
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + BLOCK, side="right")))
        if ends[last - 1] > before:
            yield first, last
        first = last
