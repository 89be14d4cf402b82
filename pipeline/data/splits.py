"""Splits made by the project itself: stratified, and the same for the same files and seed."""

from collections.abc import Sequence

import numpy as np

from exporters.core.errors import UnavailableError
from pipeline.randomness import generator


def stratified_mask(
    labels: Sequence[int] | np.ndarray,
    classes: Sequence[str],
    fraction: float,
    seed: int,
    purpose: str,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Choose a fraction of every class.

    A class of n images gives `round(n * fraction)` of them, at least 1 and at most n - 1. What one class gives does not
    depend on the other classes, unless they share a group.

    Args:
        labels: `[N]`, positions in `classes`.
        classes: the class names; every one has images.
        fraction: between 0 and 1.
        seed: the seed of the splits, `data.split_seed`.
        purpose: names the random stream, such as `"validation split"`, and the error.
        groups: int64 `[N]`, from 0; images of the same number, such as copies of one image, go to the same side. A
            class gives fewer then, where the next group would be too many, or more, where each is.

    Returns:
        bool `[N]`, true for what is taken out.

    Raises:
        UnavailableError: a class has fewer than two images, or groups, that can be put apart; names it.
    """
    labels = np.asarray(labels, dtype=np.int64)
    taken = np.zeros(len(labels), dtype=bool)
    some_are_copies = groups is not None and len(groups) and bool((np.bincount(groups) > 1).any())
    copies = _Copies(labels, groups, len(classes)) if groups is not None and some_are_copies else None
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
        shuffled = generator(seed, purpose, index=label).permutation(members)
        if copies is None or not copies.any_of(members):
            taken[shuffled[:count]] = True
        elif not copies.take(taken, shuffled, label, count):
            raise UnavailableError(
                f"class '{name}' has copies of too few different images: the {purpose} needs one and training another",
                remedy="add other images of this class, or remove it from the data set",
            )
    return taken


class _Copies:
    """Groups of more than one image, for a split that must not tear them apart."""

    def __init__(self, labels: np.ndarray, groups: np.ndarray, classes: int) -> None:
        self._labels = labels
        self._groups = groups
        self._sizes = np.bincount(groups) if len(groups) else np.zeros(0, dtype=np.int64)
        self._order = np.argsort(groups, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)])
        self._left = np.bincount(labels, minlength=classes)
        """Images of each class that stay."""

    def any_of(self, members: np.ndarray) -> bool:
        """Whether any of these images has a copy."""
        return bool((self._sizes[self._groups[members]] > 1).any())

    def take(self, taken: np.ndarray, shuffled: np.ndarray, label: int, count: int) -> bool:
        """Take up to `count` images of a class, in shuffled order and whole groups only; at least one.

        Every class keeps an image. Returns whether that could be done.
        """
        missing = count - int(taken[shuffled].sum())  # a class before this one may have taken copies of its images
        none_yet = missing == count
        too_large = []
        for image in shuffled.tolist():
            if missing <= 0:
                break
            if taken[image]:
                continue
            size = self._take_group(taken, image, label, missing)
            if size > missing:
                too_large.append((size, image))
            elif size:
                missing, none_yet = missing - size, False
        if none_yet:
            for _, image in sorted(too_large, key=lambda found: found[0]):
                if self._take_group(taken, image, label, len(shuffled)):
                    return True
        return not none_yet

    def _take_group(self, taken: np.ndarray, image: int, label: int, most: int) -> int:
        """Take the group of an image, unless a class would be left with none or it has more than `most` of the class.

        Returns its size in the class, and 0 where a class would be left with none.
        """
        group = int(self._groups[image])
        members = self._order[self._starts[group] : self._starts[group + 1]]
        size = int((self._labels[members] == label).sum())
        if size > most:
            return size
        concerned, counts = np.unique(self._labels[members], return_counts=True)
        if (self._left[concerned] <= counts).any():
            return 0
        self._left[concerned] -= counts
        taken[members] = True
        return size


def stratified_choice(labels: np.ndarray, classes: Sequence[str], count: int, seed: int, purpose: str) -> np.ndarray:
    """Choose a number of images, each class by its share; what rounding leaves over goes to the largest remainders.

    Args:
        labels: `[N]`, positions in `classes`.
        classes: the class names.
        count: how many, from one for each class to N.
        seed: the seed of the splits, `data.split_seed`.
        purpose: names the random stream.

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
