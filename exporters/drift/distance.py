"""How far two histograms are from each other: population stability index, and the chi-square test of homogeneity.

In plain Python: histograms have some ten bins, and a call of NumPy for each step would take longer.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

_LEAST_EXPECTED = 5.0
"""Images expected in a bin of the smaller sample; bins with fewer are joined with their neighbours (Cochran's rule)."""
_SMOOTHING = 0.5  # images added to each bin, so that an empty one has a logarithm


class Comparison(NamedTuple):
    """Two histograms compared.

    Attributes:
        psi: population stability index, 0 or more.
        p_value: of the chi-square test, 0 to 1.
    """

    psi: float
    p_value: float


def compare_counts(expected: Sequence[int], found: Sequence[int]) -> Comparison:
    """Compare two histograms of the same bins; no images on one side are no difference.

    Args:
        expected, found: images in each bin.
    """
    if not sum(expected) or not sum(found):
        return Comparison(0.0, 1.0)
    return Comparison(population_stability_index(expected, found), chi_square_p_value(expected, found))


def population_stability_index(expected: Sequence[int], found: Sequence[int]) -> float:
    """`Σ (q_i - p_i) ln(q_i / p_i)` over the bins, with half an image added to each bin of both.

    It is the sum of both Kullback-Leibler divergences (Kullback and Leibler 1951, eq. 2.6), known in credit scoring by
    this name, with 0.1 for a slight shift and 0.2 for a large one.
    """
    first = sum(expected) + _SMOOTHING * len(expected)
    second = sum(found) + _SMOOTHING * len(found)
    index = 0.0
    for a, b in zip(expected, found, strict=True):
        p, q = (a + _SMOOTHING) / first, (b + _SMOOTHING) / second
        index += (q - p) * math.log(q / p)
    return index


def chi_square_p_value(expected: Sequence[int], found: Sequence[int]) -> float:
    """P-value of Pearson's chi-square test that both histograms are samples of one distribution.

    Neighbouring bins are joined until each is expected to have 5 images or more on both sides; 1 where a single one is
    left.
    """
    pairs = _joined(expected, found)
    first, second = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    statistic = 0.0
    for a, b in pairs:
        # Of a table of two rows: (a·N₂ - b·N₁)² / (N₁·N₂·(a + b)).
        statistic += (a * second - b * first) ** 2 / (first * second * (a + b))
    return chi_square_tail(statistic, len(pairs) - 1)


def chi_square_tail(statistic: float, degrees: int) -> float:
    """`P(X > statistic)` of the chi-square distribution (Abramowitz and Stegun, finite sums 26.4.4 and 26.4.5).

    Args:
        statistic: 0 or more.
        degrees: of freedom; 1 for 0.
    """
    if degrees <= 0:
        return 1.0
    half = statistic / 2
    if degrees % 2:
        total, first = math.erfc(math.sqrt(half)), 0.5
    else:
        total, first = math.exp(-half), 1.0
    if half == 0:
        return 1.0
    for step in range((degrees - 1) // 2):
        power = first + step
        total += math.exp(power * math.log(half) - half - math.lgamma(power + 1))
    return min(total, 1.0)


def _joined(expected: Sequence[int], found: Sequence[int]) -> list[tuple[int, int]]:
    """The counts of both in bins that are large enough."""
    first, second = sum(expected), sum(found)
    least = _LEAST_EXPECTED * (first + second) / min(first, second)
    pairs: list[tuple[int, int]] = []
    a = b = 0
    for more_a, more_b in zip(expected, found, strict=True):
        a, b = a + more_a, b + more_b
        if a + b >= least:
            pairs.append((a, b))
            a = b = 0
    if a + b:
        last_a, last_b = pairs.pop() if pairs else (0, 0)
        pairs.append((last_a + a, last_b + b))
    return pairs
