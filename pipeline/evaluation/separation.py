"""How far the classes lie apart in a network's features, as numbers."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Separation:
    """How far classes lie apart.

    Attributes:
        silhouette: mean silhouette coefficient (Rousseeuw 1987) under cosine distance, in [-1, 1]; higher is better.
        within: mean Euclidean distance of an image to the mean of its class, features scaled to unit length.
        between: mean Euclidean distance between the means of two classes, likewise.
    """

    silhouette: float
    within: float
    between: float

    @property
    def ratio(self) -> float:
        """Distance between classes over that within; higher is better."""
        return self.between / self.within if self.within else float("inf")


def separation(features: np.ndarray, labels: np.ndarray) -> Separation | None:
    """How far the classes lie apart in features `[N, C]` with labels `[N]`.

    None where there are fewer than two classes, or no class has two images: there is nothing to compare.
    """
    from sklearn.metrics import silhouette_score

    classes = np.unique(labels)
    if len(classes) < 2 or len(classes) >= len(labels):
        return None
    unit = unit_length(features)
    means = np.stack([unit[labels == label].mean(axis=0) for label in classes])
    within = np.linalg.norm(unit - means[np.searchsorted(classes, labels)], axis=1).mean()
    rows, columns = np.triu_indices(len(classes), 1)
    between = np.linalg.norm(means[rows] - means[columns], axis=1).mean()
    return Separation(float(silhouette_score(unit, labels, metric="cosine")), float(within), float(between))


def unit_length(features: np.ndarray) -> np.ndarray:
    """Features `[N, C]` scaled to length 1, as float64; those of length 0 stay."""
    wide = features.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    scaled: np.ndarray = wide / np.where(lengths > 0, lengths, 1)
    return scaled
