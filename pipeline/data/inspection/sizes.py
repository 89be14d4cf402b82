"""Images of a size out of the ordinary."""

from collections.abc import Mapping

import numpy as np

from pipeline.data.index import IndexedSplit
from pipeline.data.inspection.found import Found
from pipeline.data.listing import SplitName
from pipeline.data.path_table import printable

USUAL = 4.0
"""An image whose side (root of its area) is so many times the median, or its inverse, is odd."""

SMALL, BIG = f"{USUAL:.0f} times smaller than usual", f"{USUAL:.0f} times larger than usual"


def odd_sizes(splits: Mapping[SplitName, IndexedSplit]) -> dict[str, Found]:
    """Images that are far smaller or larger than most."""
    found = {SMALL: Found(), BIG: Found()}
    sides = {name: np.sqrt(split.sizes.astype(np.float64).prod(axis=1)) for name, split in splits.items()}
    every = np.concatenate(list(sides.values()))
    median = float(np.median(every)) if len(every) else 0.0
    for name, split in splits.items():
        for kind, odd in ((SMALL, sides[name] * USUAL <= median), (BIG, sides[name] >= USUAL * median)):
            for position in np.flatnonzero(odd).tolist():
                width, height = split.sizes[position]
                key = split.paths[position]
                found[kind].add(key, f"{printable(key)} ({width} x {height})")
    return found
