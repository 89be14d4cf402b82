import numpy as np
import pytest

from pipeline.distill.methods.kd import KnowledgeDistillation
from tests.pipeline.distill.networks import labels_of, loss_settings, network_output, shape_of

SETTINGS = loss_settings(logits={"weight": 2.0, "temperature": 3.0})


def log_probabilities(z: np.ndarray) -> np.ndarray:
    return z / 3.0 - np.log(np.exp(z / 3.0).sum(axis=1, keepdims=True))


def test_it_is_the_weighted_divergence_of_softened_probabilities() -> None:
    student, teacher = network_output(0, 5, 4, 8), network_output(1, 5, 4, 8)
    losses = KnowledgeDistillation(SETTINGS, shape_of(student), shape_of(teacher))(
        student, teacher, labels_of(0, 5, 4), 0.5
    )
    ours, theirs = (log_probabilities(output.logits.double().numpy()) for output in (student, teacher))
    expected = 2 * 3.0**2 * (np.exp(theirs) * (theirs - ours)).sum(axis=1).mean()
    assert list(losses) == ["logits"]
    assert losses["logits"].item() == pytest.approx(expected, rel=1e-4)
