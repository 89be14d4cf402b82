"""Confidence intervals of an accuracy, and of the difference of two accuracies on the same images."""

import math


def paired_interval(lost: int, won: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval of (lost - won) / total, where both classified the same images; 95 % by default.

    The Wald interval after half an image was added to each of the four cells (Agresti and Min, 2005), within -1 … 1.

    Args:
        lost, won: images that only the first, only the second, classified correctly.
        total: all images, 1 or more.
    """
    size, difference, discordant = total + 2, lost - won, lost + won + 1
    centre = difference / size
    half = z * math.sqrt(discordant - difference**2 / size) / size
    return max(-1.0, centre - half), min(1.0, centre + half)


def wilson_interval(correct: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson, 1927), 95 % by default."""
    if total == 0:
        return 0.0, 1.0
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At the ends the bound is the end itself, which rounding would miss slightly.
    return 0.0 if correct == 0 else centre - half, 1.0 if correct == total else centre + half
