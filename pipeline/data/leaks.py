"""Images that stand in two splits: found by their hashes, and refused or left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from exporters.core.errors import UnavailableError
from pipeline.data.copies import content_groups, has_copies
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
    counts = ", ".join(f"{len(leak.positions):,} of {leak.split} in {leak.other}" for leak in leaks)
    total = sum(len(leak.positions) for leak in leaks)
    lines = "".join(f"\n    {printable(pair)}" for pair in pairs)
    more = f"\n    and {total - len(pairs):,} more" if total > len(pairs) else ""
    return UnavailableError(
        f"the same images stand in two splits, which would make every figure too good: {counts}{lines}{more}",
        remedy="Remove one of each, or leave out the copies nearer to training: --set data.on_leak=drop",
    )


def reunite_copies(
    train: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Find the images that must change sides, so that a test split sampled by name has no copies in training.

    Test images with a copy in training go there; a class that would be left without test images keeps its smallest
    group of copies, and gets training's.

    Args:
        train: hashes, uint8 `[N, 32]`.
        test: hashes, uint8 `[M, 32]`.
        test_labels: int64 `[M]`.

    Returns:
        The training images that go to test, bool `[N]`, and the test images that go to training, bool `[M]`; None where
        nothing has to move.
    """
    groups = content_groups(train, test)
    if not has_copies(groups):
        return None
    sizes = np.bincount(groups)
    of_train, of_test = groups[: len(train)], groups[len(train) :]
    divided = np.isin(of_test, of_train)
    emptied = np.setdiff1d(test_labels, test_labels[~divided])
    members = (np.flatnonzero(test_labels == label) for label in emptied)
    kept = [int(min(of_test[positions], key=lambda group: sizes[group])) for positions in members]
    return np.isin(of_train, kept), divided & ~np.isin(of_test, kept)
