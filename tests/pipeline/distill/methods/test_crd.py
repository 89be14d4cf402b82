import pytest
import torch

from pipeline.distill.losses import representation_contrast
from pipeline.distill.methods.crd import ContrastiveRepresentation
from pipeline.distill.settings import LossSettings
from tests.pipeline.distill.networks import labels_of, network_output, shape_of


def test_it_contrasts_linear_embeddings_of_both_nets() -> None:
    student, teacher = network_output(0, 6, 3, 4), network_output(1, 6, 3, 9)
    method = ContrastiveRepresentation(
        LossSettings(ce_weight=0.0, feature_weight=0.8), shape_of(student, False), shape_of(teacher, False)
    )
    labels = labels_of(0, 6, 3)
    ours = student.pooled @ method.student_embedding.weight.T + method.student_embedding.bias
    theirs = teacher.pooled @ method.teacher_embedding.weight.T + method.teacher_embedding.bias
    losses = method(student, teacher, labels, 0.5)
    assert list(losses) == ["feature"]
    expected = 0.5 * 0.8 * representation_contrast(ours, theirs, labels, 0.07).item()
    assert losses["feature"].item() == pytest.approx(expected, rel=1e-5)


def test_both_embeddings_learn() -> None:
    torch.manual_seed(0)
    student, teacher = network_output(0, 6, 3, 4), network_output(1, 6, 3, 9)
    method = ContrastiveRepresentation(
        LossSettings(ce_weight=1.0, feature_weight=0.8), shape_of(student), shape_of(teacher)
    )
    optimiser = torch.optim.SGD(method.parameters(), lr=0.05)
    values = []
    for _ in range(50):
        loss = method(student, teacher, labels_of(0, 6, 3), 1.0)["feature"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.5 * values[0]
    assert sum(parameter.grad is not None for parameter in method.parameters()) == 4
