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


def content_groups(*sha256: np.ndarray) -> np.ndarray:
    """Number images by content, in little memory: a million images take 40 MB.

    Args:
        sha256: uint8 `[N_i, 32]` each; the images of one follow those of the one before.

    Returns:
        int64 `[N]`, from 0: two images have the same number just where they have the same hash.
    """
    words = [np.ascontiguousarray(part).view(np.uint64) for part in sha256]
    first = np.concatenate([part[:, 0] for part in words])
    order = np.argsort(first, kind="stable")
    groups, again = _runs(first[order, None])
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = groups
    # Hashes that begin alike are nearly always the same; the few that begin alike are compared whole.
    again[:-1] |= again[1:]
    alike = np.sort(order[again])
    if len(alike):
        starts = np.cumsum([0, *map(len, words)])
        whole = np.concatenate(
            [part[alike[(alike >= a) & (alike < b)] - a] for part, a, b in zip(words, starts, starts[1:], strict=False)]
        )
        ranked = np.lexsort(whole.T)
        numbers[alike[ranked]] = len(order) + _runs(whole[ranked])[0]
    return numbers


def _runs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of sorted rows `[N, W]`: numbers of the runs of equal ones, int64 `[N]`, and whether each is as the one before."""
    again = np.zeros(len(rows), dtype=bool)
    again[1:] = (rows[1:] == rows[:-1]).all(axis=1)
    return np.cumsum(~again) - 1, again


def has_copies(groups: np.ndarray) -> bool:
    """Whether any two images have the same number."""
    return bool((np.bincount(groups) > 1).any()) if len(groups) else False


def find_leaks(sha256: Mapping[SplitName, np.ndarray]) -> list[Leak]:
    """The images that stand in two splits, for each pair of splits that shares any.

    Args:
        sha256: uint8 `[N, 32]` for each split.
    """
    names = [name for name in SPLITS if name in sha256]
    groups = content_groups(*(sha256[name] for name in names))
    if not has_copies(groups):
        return []
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
    groups = content_groups(sha256)
    return len(groups) - len(np.unique(groups)) if has_copies(groups) else 0
