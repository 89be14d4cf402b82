"""The same bytes in two splits: found by hash, refused or left out; and duplicates kept on one side of a split."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from exporters.errors import UnavailableError
from pipeline.data.listing import SPLITS, SplitName

SHOWN = 10


@dataclass(frozen=True, eq=False)
class Leak:
    """Images of one split that stand in another too.

    Attributes:
        split: the one that is nearer to training, whose copies are left out under `data.on_leak: drop`.
        other: the one that keeps its copies.
        positions: int64 `[M]`, of the images in `split`, rising.
        partners: int64 `[M]`, of the first copy of each in `other`.
    """

    split: SplitName
    other: SplitName
    positions: np.ndarray
    partners: np.ndarray


def content_groups(sha256: np.ndarray) -> np.ndarray:
    """Number images by content.

    Args:
        sha256: uint8 `[N, 32]`.

    Returns:
        int64 `[N]`: two images have the same number just where they have the same hash.
    """
    words = np.ascontiguousarray(sha256).view(np.uint64)
    order = np.lexsort(words.T)
    ordered = words[order]
    first = np.ones(len(order), dtype=np.int64)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    groups = np.empty(len(order), dtype=np.int64)
    groups[order] = np.cumsum(first) - 1
    return groups


def find_leaks(sha256: Mapping[SplitName, np.ndarray]) -> list[Leak]:
    """The images that stand in two splits, for each pair of splits that shares any.

    Args:
        sha256: uint8 `[N, 32]` for each split.
    """
    names = [name for name in SPLITS if name in sha256]
    groups = content_groups(np.concatenate([sha256[name] for name in names]))
    ends = np.cumsum([0, *(len(sha256[name]) for name in names)])
    parts = {name: groups[start:end] for name, (start, end) in zip(names, pairwise(ends), strict=True)}
    leaks = []
    for number, split in enumerate(names):
        for other in names[number + 1 :]:
            numbers, places = np.unique(parts[other], return_index=True)
            found = np.searchsorted(numbers, parts[split])
            found[found == len(numbers)] = 0
            positions = np.flatnonzero(numbers[found] == parts[split]) if len(numbers) else np.empty(0, np.int64)
            if len(positions):
                leaks.append(Leak(split, other, positions, places[found[positions]]))
    return leaks


def leak_error(pairs: list[tuple[str, str]], counts: list[tuple[SplitName, SplitName, int]]) -> UnavailableError:
    """The error that lists what stands in two splits.

    Args:
        pairs: the first of them, in words.
        counts: how many images of the first split stand in the second.
    """
    told = ", ".join(f"{count:,} of {split} in {other}" for split, other, count in counts)
    total = sum(count for _, _, count in counts)
    lines = "".join(f"\n    {one} = {two}" for one, two in pairs)
    more = f"\n    and {total - len(pairs):,} more" if total > len(pairs) else ""
    return UnavailableError(
        f"the same images stand in two splits, which would make every figure too good: {told}{lines}{more}",
        remedy="Remove one of each, or leave out the copies nearer to training: --set data.on_leak=drop",
    )


def number_of_duplicates(sha256: np.ndarray) -> int:
    """How many images of a split have a copy before them in it."""
    return len(sha256) - len(np.unique(content_groups(sha256))) if len(sha256) else 0
