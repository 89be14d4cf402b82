"""The same bytes in two splits: found by hash, refused or left out; and duplicates kept on one side of a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from exporters.core.errors import UnavailableError
from pipeline.data.listing import SPLITS, SplitName
from pipeline.data.path_table import printable

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
    """Of sorted rows `[N, W]`: numbers of the runs of equal ones, int64 `[N]`; whether each is as the one before."""
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


def leaking_images(
    contents: Mapping[SplitName, tuple[Sequence[str], np.ndarray]], on_leak: Literal["fail", "drop"]
) -> dict[SplitName, dict[int, str]]:
    """The images that must be left out, so that none stands in two splits.

    Args:
        contents: for each split the images' paths and hashes, uint8 `[N, 32]`.
        on_leak: `drop` gives the copies that are nearer to training.

    Returns:
        For each split that loses any: position → why, naming the copy that stays.

    Raises:
        UnavailableError: there are any under `fail`; lists the first pairs, and how many there are.
    """
    leaks = find_leaks({name: sha256 for name, (_, sha256) in contents.items()})
    if leaks and on_leak == "fail":
        raise _error(leaks, {name: paths for name, (paths, _) in contents.items()})
    found: dict[SplitName, dict[int, str]] = {}
    for leak in leaks:
        others = contents[leak.other][0]
        found.setdefault(leak.split, {}).update(
            (here, f"the same bytes as {others[there]} ({leak.other})")
            for here, there in zip(leak.positions.tolist(), leak.partners.tolist(), strict=True)
        )
    return found


def _error(leaks: list[Leak], paths: Mapping[SplitName, Sequence[str]]) -> UnavailableError:
    pairs = [
        f"{paths[leak.split][here]} = {paths[leak.other][there]}"
        for leak in leaks
        for here, there in zip(leak.positions[:SHOWN].tolist(), leak.partners[:SHOWN].tolist(), strict=True)
    ][:SHOWN]
    told = ", ".join(f"{len(leak.positions):,} of {leak.split} in {leak.other}" for leak in leaks)
    total = sum(len(leak.positions) for leak in leaks)
    lines = "".join(f"\n    {printable(pair)}" for pair in pairs)
    more = f"\n    and {total - len(pairs):,} more" if total > len(pairs) else ""
    return UnavailableError(
        f"the same images stand in two splits, which would make every figure too good: {told}{lines}{more}",
        remedy="Remove one of each, or leave out the copies nearer to training: --set data.on_leak=drop",
    )


def torn_apart(train: np.ndarray, test: np.ndarray, test_labels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """What must change sides, so that a test split that was drawn by names tears no copies apart.

    Test images with a copy in training go there; a class that would be left without test images keeps its smallest
    group of copies, and gets training's.

    Args:
        train: hashes, uint8 `[N, 32]`.
        test: hashes, uint8 `[M, 32]`.
        test_labels: int64 `[M]`.

    Returns:
        What of training goes to test, bool `[N]`, and what of test to training, bool `[M]`; None where nothing is torn.
    """
    groups = content_groups(train, test)
    if not has_copies(groups):
        return None
    sizes = np.bincount(groups)
    of_train, of_test = groups[: len(train)], groups[len(train) :]
    torn = np.isin(of_test, of_train)
    emptied = np.setdiff1d(test_labels, test_labels[~torn])
    members = (np.flatnonzero(test_labels == label) for label in emptied)
    kept = [int(min(of_test[positions], key=lambda group: sizes[group])) for positions in members]
    return np.isin(of_train, kept), torn & ~np.isin(of_test, kept)


def number_of_duplicates(sha256: np.ndarray) -> int:
    """How many images of a split have a copy before them in it."""
    groups = content_groups(sha256)
    return len(groups) - len(np.unique(groups)) if has_copies(groups) else 0
