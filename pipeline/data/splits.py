"""Splits made by the project itself: stratified, and the same for the same files and seed."""

from collections.abc import Sequence

import numpy as np

from exporters.errors import UnavailableError
from pipeline.randomness import generator


def stratified_mask(
    labels: Sequence[int] | np.ndarray, classes: Sequence[str], fraction: float, seed: int, purpose: str
) -> np.ndarray:
    """Choose a fraction of every class.

    A class of n images gives `round(n * fraction)` of them, at least 1 and at most n - 1. What one class gives does not
    depend on the other classes.

    Args:
        labels: `[N]`, positions in `classes`.
        classes: the class names; every one has images.
        fraction: between 0 and 1.
        seed: the seed of the splits, `data.split_seed`.
        purpose: names the stream of draws, such as `"validation split"`, and the error.

    Returns:
        bool `[N]`, true for what is taken out.

    Raises:
        UnavailableError: a class has fewer than two images; names it.
    """
    labels = np.asarray(labels, dtype=np.int64)
    taken = np.zeros(len(labels), dtype=bool)
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(len(classes) + 1))
    for label, name in enumerate(classes):
        members = order[starts[label] : starts[label + 1]]
        if len(members) < 2:
            raise UnavailableError(
                f"class '{name}' has {len(members)} training image{'' if len(members) == 1 else 's'}: "
                f"the {purpose} needs one and training another",
                remedy="add images of this class, or remove it from the data set",
            )
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        taken[generator(seed, purpose, index=label).permutation(members)[:count]] = True
    return taken


def stratified_choice(labels: np.ndarray, classes: Sequence[str], count: int, seed: int, purpose: str) -> np.ndarray:
    """Choose a number of images, each class by its share; what rounding leaves over goes to the largest remainders.

    Args:
        labels: `[N]`, positions in `classes`.
        classes: the class names.
        count: how many, from one for each class to N.
        seed: the seed of the splits, `data.split_seed`.
        purpose: names the stream of draws.

    Returns:
        bool `[N]`, true for `count` images, at least one of each class that has any.

    Raises:
        UnavailableError: fewer images than classes are asked for, or more than there are.
    """
    sizes = np.bincount(labels, minlength=len(classes))
    present = int((sizes > 0).sum())
    if not present <= count <= len(labels):
        raise UnavailableError(
            f"data.train_images: {count:,} images of {len(labels):,} in {present:,} classes cannot be chosen",
            remedy=f"Give a number from {present:,} to {len(labels):,}, or null for all.",
        )
    # One for each class first; the rest by share of what is left.
    rest = np.maximum(sizes - 1, 0)
    shares = rest * ((count - present) / max(int(rest.sum()), 1))
    quota = np.floor(shares).astype(np.int64)
    left = count - present - int(quota.sum())
    quota[np.argsort(quota - shares, kind="stable")[:left]] += 1
    quota += sizes > 0
    chosen = np.zeros(len(labels), dtype=bool)
    for label in range(len(classes)):
        members = np.flatnonzero(labels == label)
        chosen[generator(seed, purpose, index=label).permutation(members)[: quota[label]]] = True
    return chosen
