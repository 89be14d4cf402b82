"""Images with the same bytes, found by their hashes."""

import numpy as np


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


def number_of_duplicates(sha256: np.ndarray) -> int:
    """How many images of a split have a copy before them in it."""
    groups = content_groups(sha256)
    return len(groups) - len(np.unique(groups)) if has_copies(groups) else 0
