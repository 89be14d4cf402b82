""" "None of these": how much the logits of an image look like those of the training data's kind, and from where on an
image counts as known.

Scores are of the logits as the graph gives them, at temperature 1, whatever temperature probabilities are shown at.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from exporters.core.arrays import largest_and_sum

Score = Literal["energy", "max_softmax"]
SCORES: tuple[Score, ...] = ("energy", "max_softmax")


def known_scores(score: Score, logits: np.ndarray) -> np.ndarray:
    """How much images look like the training data; higher is more alike.

    `energy` is the negative free energy at temperature 1, `log Σ exp(logits)` (Liu et al. 2020, equation 4), in the
    unit of the logits. `max_softmax` is the largest probability (Hendrycks & Gimpel 2017), in [1/K, 1].

    Args:
        score: which one.
        logits: float `[B, K]`.

    Returns:
        float64 `[B]`; -inf for logits that are not all finite, so that nothing is known by them.
    """
    finite = np.isfinite(logits).all(axis=-1)
    largest, total = largest_and_sum(np.where(finite[:, None], logits, 0))
    rest = np.log(total)  # 0 or more
    found = largest + rest if score == "energy" else np.exp(-rest)
    return np.where(finite, found, -np.inf)


def threshold_rank(images: int, false_alarms: float) -> int:
    """Which of the sorted scores of so many images is the threshold, counted from 1; 0 where there are too few.

    It is `floor(α·(n + 1))`: of images of the same kind, the share that scores below the k-th smallest of n is k/(n+1)
    on average, less where scores are equal (split conformal prediction, Vovk et al. 2005).
    """
    return math.floor(Fraction(repr(false_alarms)) * (images + 1))


def least_images(false_alarms: float) -> int:
    """The fewest images that a threshold for this share of false alarms can be chosen on."""
    return math.ceil(1 / Fraction(repr(false_alarms))) - 1


def choose_threshold(scores: np.ndarray, false_alarms: float) -> float:
    """The score from which on an image counts as known, so that of known ones at most this share does not, on average.

    Args:
        scores: float64 `[n]`, of images like the training data that were not trained on.
        false_alarms: in (0, 1).

    Raises:
        ValueError: fewer than `least_images(false_alarms)` scores.
    """
    rank = threshold_rank(len(scores), false_alarms)
    if rank == 0:
        raise ValueError(f"{len(scores)} scores are too few for {false_alarms} false alarms")
    return float(np.partition(scores, rank - 1)[rank - 1])


@dataclass(frozen=True)
class KnownRule:
    """The rule of one model.

    Attributes:
        score: which one.
        threshold: images that score below it are none of the classes.
    """

    score: Score
    threshold: float

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Float64 `[B]` of logits `[B, K]`, as `known_scores`."""
        return known_scores(self.score, logits)

    def known(self, logits: np.ndarray) -> np.ndarray:
        """Bool `[B]` of logits `[B, K]`: whether each image is like the training data."""
        known: np.ndarray = self.scores(logits) >= self.threshold
        return known


def rule_of(manifest: Mapping[str, Any], model: str) -> KnownRule | None:
    """The rule of a bundle's model, from a manifest of a checked form; None where the bundle has none."""
    if "known" not in manifest:
        return None
    return KnownRule(manifest["known"]["score"], manifest["models"][model]["known"]["threshold"])
