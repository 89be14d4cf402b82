import math

import numpy as np
import pytest

from pipeline.evaluation.separation import separation, unit_length

pytest.importorskip("sklearn")


def silhouette_by_hand(features: np.ndarray, labels: np.ndarray) -> float:
    """Rousseeuw (1987): (b - a) / max(a, b) for each image, 0 for one that is alone in its class."""
    values = []
    for i, label in enumerate(labels):
        distances = [
            1 - float(features[i] @ other) / (np.linalg.norm(features[i]) * np.linalg.norm(other)) for other in features
        ]
        own = [distances[j] for j in range(len(labels)) if j != i and labels[j] == label]
        if not own:
            values.append(0.0)
            continue
        a = sum(own) / len(own)
        b = min(
            sum(distances[j] for j in range(len(labels)) if labels[j] == other) / int((labels == other).sum())
            for other in set(labels.tolist()) - {int(label)}
        )
        values.append((b - a) / max(a, b))
    return sum(values) / len(values)


def test_silhouette_is_that_of_its_definition() -> None:
    random = np.random.default_rng(0)
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3])
    features = random.normal(size=(9, 5)) + 2 * np.eye(5)[labels]
    found = separation(features, labels)
    assert found is not None
    assert found.silhouette == pytest.approx(silhouette_by_hand(features, labels))


def test_distances_are_those_of_a_plane_that_can_be_drawn() -> None:
    features = np.array([[3.0, 0.0], [0.5, 0.0], [0.0, 7.0], [0.0, 1.0]])  # of unit length: two points, each twice
    found = separation(features, np.array([0, 0, 1, 1]))
    assert found is not None
    assert (found.within, found.between) == (0.0, pytest.approx(math.sqrt(2)))
    assert found.ratio == math.inf
    assert found.silhouette == pytest.approx(1.0)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 1, 2]])
def test_nothing_is_compared_where_there_is_nothing_to_compare(labels: list[int]) -> None:
    assert separation(np.eye(3), np.array(labels)) is None


def test_features_of_length_zero_stay() -> None:
    assert unit_length(np.zeros((2, 3), dtype=np.float32)).tolist() == [[0, 0, 0], [0, 0, 0]]
