"""Labels that are likely wrong, by the probabilities of a classifier."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Suspects:
    """Images whose label the classifier contradicts, the surest first.

    Attributes:
        positions: int64 `[S]`, among the images asked about.
        margins: float64 `[S]`, probability of the classifier's answer less that of the label, in (0, 1].
        thresholds: float64 `[K]`, from which the classifier counts as sure of a class.
    """

    positions: np.ndarray
    margins: np.ndarray
    thresholds: np.ndarray


def label_suspects(labels: np.ndarray, answers: np.ndarray, of_label: np.ndarray, of_answer: np.ndarray) -> Suspects:
    """The images of which a classifier is as sure of another class as it is of that class's own images on average.

    Confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
    Labels", arXiv 1911.00068, eq. 2): `t_j` is the mean probability of class j over the images with that label; an
    image with label i counts for j ≠ i where `p_j ≥ t_j`. Here j is the classifier's answer alone. The order is that of
    the normalized margin (ibid., section 3.2), `p_j - p_i`.

    Args:
        labels: int64 `[N]`.
        answers: int64 `[N]`, the most probable class.
        of_label, of_answer: probability of each of the two, float `[N]`.
    """
    classes = int(max(labels.max(initial=-1), answers.max(initial=-1))) + 1
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=of_label, minlength=classes)
    # A class without images here says nothing of its own; the mean over all stands for it.
    everywhere = float(of_label.mean()) if len(labels) else 0.0
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), everywhere)
    margins = of_answer.astype(np.float64) - of_label
    positions = np.flatnonzero((answers != labels) & (of_answer >= thresholds[answers]))
    positions = positions[np.argsort(-margins[positions], kind="stable")]
    return Suspects(positions, margins[positions], thresholds)
