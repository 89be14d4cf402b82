"""Weights of the classes in the cross-entropy, for data sets in which some classes are rare."""

import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from exporters.core.errors import UsageError


def class_weights(
    wanted: str | Mapping[str, float], labels: np.ndarray, classes: Sequence[str], section: str
) -> tuple[float, ...] | None:
    """The weight of each class.

    `balanced` gives class k of K the weight `N/(K·N_k)`, with N_k of the N training images (King and Zeng 2001): each
    class then has the same share in the loss, and the mean weight of an image is 1.

    Args:
        wanted: `none`, `balanced`, or weights by the name of a class or its folder; classes that are
            not named have 1.
        labels: `[N]` int64, of the training split.
        classes: K names, in the order of the labels.
        section: of the recipe, for the message.

    Returns:
        K weights above 0; None for `none`.

    Raises:
        UsageError: a name that is no class.
    """
    if isinstance(wanted, str):
        if wanted == "none":
            return None
        counts = np.bincount(labels, minlength=len(classes))
        return tuple((len(labels) / (len(classes) * np.maximum(counts, 1))).tolist())
    named: dict[str, float] = {}
    for name, weight in wanted.items():
        # Class folders are called wood_duck where the class is called "wood duck".
        spoken = name if name in classes else name.replace("_", " ")
        named[spoken] = float(weight)
        if spoken not in classes:
            near = difflib.get_close_matches(name, classes, n=1)
            some = ", ".join(classes[:5]) + (", …" if len(classes) > 5 else "")
            hint = f"Did you mean {near[0]}?" if near else f"Its classes: {some}."
            raise UsageError(f"{section}.class_weights: {name!r} is no class of the data set", remedy=hint)
    return tuple(named.get(name, 1.0) for name in classes)
