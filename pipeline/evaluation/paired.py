"""What a difference between two classifiers is worth, from their results on the same images and under the same seeds.

Nothing here depends on random state or takes long: the same results give the same figures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.randomness import generator

LEVEL = 0.95
"""Confidence of every interval."""

RESAMPLES = 10_000
"""Resamples of the bootstrap: its ends then move by about a fiftieth of the interval's width."""

_CELLS = 2**22
"""Most counts that are sampled at a time: 32 MiB."""

Verdict = Literal["better", "worse", "not distinguishable"]


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of one figure over seeds.

    Attributes:
        mean: the mean.
        std: with n - 1 in the denominator; None for one value, which says nothing of spread.
        count: how many values there are.
    """

    mean: float
    std: float | None
    count: int


@dataclass(frozen=True)
class McNemar:
    """The exact McNemar test of one seed's two students.

    Attributes:
        gained: images that the first has right and the second has wrong.
        lost: images that the first has wrong and the second has right.
        p: two-sided, in [0, 1].
    """

    gained: int
    lost: int
    p: float


@dataclass(frozen=True)
class PairedDifference:
    """Accuracy of a first arm minus that of a second, over the seeds that both have; shares in [-1, 1], not per cent.

    Attributes:
        seeds: the common seeds, ascending; the tuples below are in their order.
        images: how many images each seed was scored on.
        differences: one value a seed.
        mean: their mean.
        std: their sample standard deviation; None for one seed.
        interval: the bootstrap's, over images and seeds.
        t_interval: Student's, over seeds alone; None for one seed, and where all seeds gave the same difference, whose
            spread then says nothing of other seeds.
        mcnemar: one test a seed, over images alone.
    """

    seeds: tuple[int, ...]
    images: int
    differences: tuple[float, ...]
    mean: float
    std: float | None
    interval: tuple[float, float]
    t_interval: tuple[float, float] | None
    mcnemar: tuple[McNemar, ...]

    @property
    def verdict(self) -> Verdict:
        """What the bootstrap's interval says: a difference whose interval holds 0 is not distinguishable from none."""
        low, high = self.interval
        if low > 0:
            return "better"
        return "worse" if high < 0 else "not distinguishable"

    @property
    def seeds_alone_suffice(self) -> bool:
        """Whether Student's interval, which knows nothing of images, leaves out 0 as well."""
        return self.t_interval is not None and not self.t_interval[0] <= 0 <= self.t_interval[1]


def mean_and_std(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation (n - 1) of at least one value."""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Spread(mean, None, 1)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return Spread(mean, math.sqrt(squares / (len(values) - 1)), len(values))


def paired_difference(
    first: Mapping[int, np.ndarray], second: Mapping[int, np.ndarray], resamples: int = RESAMPLES
) -> PairedDifference:
    """The difference in accuracy of two arms, paired by seed and image.

    Args:
        first: seed → bool `[N]`, whether each image is right; the images are the same, in the same order, everywhere.
        second: the same of the arm that is subtracted.
        resamples: of the bootstrap.

    Raises:
        ValueError: no seed is common, or the images are not as many everywhere.
    """
    seeds = tuple(sorted(first.keys() & second.keys()))
    if not seeds:
        raise ValueError("two arms without a common seed cannot be paired")
    counts = {results[seed].shape for results in (first, second) for seed in seeds}
    if len(counts) > 1:
        raise ValueError(f"two arms that were scored on different images cannot be paired: {sorted(counts)}")
    gains = np.stack([first[seed].astype(np.int8) - second[seed].astype(np.int8) for seed in seeds])
    differences = [float(value) for value in gains.mean(axis=1)]
    spread = mean_and_std(differences)
    return PairedDifference(
        seeds=seeds,
        images=gains.shape[1],
        differences=tuple(differences),
        mean=spread.mean,
        std=spread.std,
        interval=bootstrap_interval(gains, resamples),
        t_interval=student_t_interval(differences) if len(set(differences)) > 1 else None,
        mcnemar=tuple(mcnemar_exact(int((row > 0).sum()), int((row < 0).sum())) for row in gains),
    )


def bootstrap_interval(gains: np.ndarray, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of `gains`, resampling seeds and images.

    Seeds and images are sampled with replacement, independently, and every sampled seed sees the same sampled images:
    the pigeonhole bootstrap of Owen (2007), "The pigeonhole bootstrap", Annals of Applied Statistics 1(2). With one
    seed it is Efron's bootstrap over images. Images of the same column are alike to it, so that only the number drawn
    of each kind of column is drawn (three seeds have 27 kinds at most). Negated gains give the negated interval.

    Args:
        gains: `[S, N]`, -1, 0 or 1 for each seed and image; of one arm alone, 1 where it is right.
        resamples: how many.
    """
    kinds, counts = _kinds_of_columns(gains)
    seeds, images = gains.shape
    random = generator(0, "paired bootstrap")
    seed_counts = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)  # [R, S]
    sums = np.empty(resamples, dtype=np.int64)
    step = max(1, _CELLS // len(counts))
    for start in range(0, resamples, step):
        drawn_seeds = seed_counts[start : start + step]
        drawn_images = random.multinomial(images, counts / images, size=len(drawn_seeds))  # [r, kinds]
        sums[start : start + step] = (drawn_seeds * (drawn_images @ kinds.T)).sum(axis=1)
    sums.sort()
    outside = int(resamples * (1 - LEVEL) / 2 + 1e-9)  # on either side, so that the interval mirrors with the gains
    low, high = int(sums[outside]), int(sums[resamples - 1 - outside])
    return low / (seeds * images), high / (seeds * images)


def _kinds_of_columns(gains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct columns `[S, kinds]` int64, in the order of their first appearance, and how often each occurs."""
    kinds, first, counts = np.unique(gains, axis=1, return_index=True, return_counts=True)
    order = np.argsort(first)
    return kinds[:, order].astype(np.int64), counts[order]


def student_t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a mean from n ≥ 2 values (Student, 1908): `mean ± t(n - 1)·std/√n`."""
    spread = mean_and_std(values)
    if spread.std is None:
        raise ValueError("one value has no interval")
    from scipy import stats

    half = float(stats.t.ppf((1 + LEVEL) / 2, spread.count - 1)) * spread.std / math.sqrt(spread.count)
    return spread.mean - half, spread.mean + half


def mcnemar_exact(gained: int, lost: int) -> McNemar:
    """The two-sided exact test of McNemar (1947): where two students differ, either is right as often as the other.

    `p = min(1, 2·P(X ≤ min(gained, lost)))` with `X ~ Binomial(gained + lost, ½)`; two students that differ nowhere
    give 1. The largest term is an exact quotient of whole numbers, and the smaller ones follow from it by their ratios,
    so that no library is needed where bundles are compared, and none of the digits is lost in the tails.
    """
    total, fewer = gained + lost, min(gained, lost)
    if 2 * fewer + 1 >= total:  # the smaller half, and with it both halves
        return McNemar(gained, lost, 1.0)
    largest = math.comb(total, fewer) / 2**total
    below = np.arange(fewer, 0, -1, dtype=np.float64)
    terms = np.cumprod(below / (total - below + 1))
    return McNemar(gained, lost, min(1.0, 2 * largest * (1 + float(terms.sum()))))
