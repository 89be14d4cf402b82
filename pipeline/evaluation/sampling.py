"""How many images an accuracy has to be measured on, and which."""

import math

import numpy as np

from exporters.parity.intervals import wilson_interval

HALF_WIDTH = 0.01
"""Of the 95 % interval of an accuracy that is measured on a sample: a point to either side."""

FIRST = 1024
"""Images on which it is found how many are needed, at most."""

_Z = 1.959964


def images_needed(correct: int, images: int, half_width: float = HALF_WIDTH) -> int:
    """How many images an accuracy needs for its 95 % interval (Wilson) to reach no farther to either side.

    Args:
        correct, images: of a first sample, which says about how accurate it is; where it leaves that open, the accuracy
            that needs the most images counts.
        half_width: above 0 and below 0.5.

    Returns:
        1 or more; at most 9,600 for a point.
    """
    low, high = wilson_interval(correct, images)
    share = min(max(low, 0.5), high)  # the one nearest to a half
    # Of n images the interval reaches h = z·√(s(1-s)/n + z²/4n²) / (1 + z²/n) to either side: quadratic in x = 1/n.
    a, b = _Z**4 * (0.25 - half_width**2), _Z**2 * (share * (1 - share) - 2 * half_width**2)
    x = (math.sqrt(b * b + 4 * a * half_width**2) - b) / (2 * a)
    return math.ceil(1 / x)


def spread_evenly(images: int, wanted: int, without: np.ndarray | None = None) -> np.ndarray:
    """Positions of some images, evenly spread over a split: int64, in order.

    Args:
        images: in the split.
        wanted: of them; all where there are no more.
        without: positions that are left out.
    """
    free = np.arange(images, dtype=np.int64)
    if without is not None:
        free = np.setdiff1d(free, without)
    chosen = min(len(free), wanted)
    return free[np.arange(chosen, dtype=np.int64) * len(free) // max(1, chosen)]
