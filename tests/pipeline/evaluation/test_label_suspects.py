import numpy as np
import pytest

from pipeline.evaluation.label_suspects import label_suspects


def by_hand(labels: list[int], probabilities: np.ndarray) -> list[int]:
    """The rule said again, image by image."""
    thresholds = {}
    for label in range(probabilities.shape[1]):
        own = [row[label] for row, of in zip(probabilities, labels, strict=True) if of == label]
        every = [row[of] for row, of in zip(probabilities, labels, strict=True)]
        thresholds[label] = sum(own) / len(own) if own else sum(every) / len(every)
    found = []
    for place, (row, label) in enumerate(zip(probabilities, labels, strict=True)):
        answer = int(np.argmax(row))
        if answer != label and row[answer] >= thresholds[answer]:
            found.append((row[label] - row[answer], place))
    return [place for _margin, place in sorted(found)]


@pytest.mark.parametrize("seed", range(5))
def test_suspects_and_their_order_are_those_of_the_rule(seed: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(5, 0.4), 200)
    labels = random.integers(0, 4, 200)  # the last class has no images
    answers = probabilities.argmax(axis=1)
    found = label_suspects(labels, answers, probabilities[np.arange(200), labels], probabilities.max(axis=1))
    assert found.positions.tolist() == by_hand(labels.tolist(), probabilities)
    assert (np.diff(found.margins) <= 0).all() and (found.margins > 0).all()


def test_being_less_sure_than_usual_of_another_class_is_no_suspicion() -> None:
    labels, answers = np.array([0, 0, 1]), np.array([0, 0, 0])
    found = label_suspects(labels, answers, np.array([0.9, 0.9, 0.2]), np.array([0.9, 0.9, 0.8]))
    assert found.thresholds.tolist() == pytest.approx([0.9, 0.2]) and len(found.positions) == 0
    found = label_suspects(labels, answers, np.array([0.9, 0.7, 0.2]), np.array([0.9, 0.7, 0.8]))
    assert found.positions.tolist() == [2] and found.margins.tolist() == pytest.approx([0.6])


def test_no_images_have_no_suspects() -> None:
    nothing, none = np.zeros(0, np.int64), np.zeros(0)
    assert len(label_suspects(nothing, nothing, none, none).positions) == 0
