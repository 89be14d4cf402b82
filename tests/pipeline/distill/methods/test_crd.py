import numpy as np
import pytest
import torch

from exporters.core.errors import UsageError
from pipeline.distill.build import build_method
from pipeline.distill.losses import cross_entropy, representation_contrast
from pipeline.distill.memory import TrainingSplit
from pipeline.distill.methods.crd import ContrastiveRepresentation
from pipeline.distill.settings import DistillSettings
from pipeline.models.outputs import NetworkShape
from pipeline.randomness import Samples
from tests.pipeline.distill.networks import labels_of, loss_settings, network_output, shape_of


def test_it_contrasts_linear_embeddings_of_both_nets() -> None:
    student, teacher = network_output(0, 6, 3, 4), network_output(1, 6, 3, 9)
    method = ContrastiveRepresentation(
        loss_settings(ce={"weight": 0.0}, feature={"weight": 0.8}), shape_of(student, False), shape_of(teacher, False)
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
        loss_settings(ce={"weight": 1.0}, feature={"weight": 0.8}), shape_of(student), shape_of(teacher)
    )
    optimizer = torch.optim.SGD(method.parameters(), lr=0.05)
    values = []
    for _ in range(50):
        loss = method(student, teacher, labels_of(0, 6, 3), 1.0)["feature"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.5 * values[0]
    assert sum(parameter.grad is not None for parameter in method.parameters()) == 4


@pytest.mark.parametrize("names", [{"method": "crd"}, {"method": "tmkd", "base": "crd"}])
def test_with_a_bank_the_negatives_are_remembered_images(names: dict[str, str]) -> None:
    student, teacher, labels = network_output(0, 4, 3, 5), network_output(1, 4, 3, 9), labels_of(0, 4, 3)
    shapes = shape_of(student), shape_of(teacher)
    distill = DistillSettings.model_validate(
        {**names, "balance": "none", "feature": {"bank": 7}, "contrast": {"weight": 0.0}}
    )
    torch.manual_seed(0)
    split = TrainingSplit(np.arange(20) % 3, seed=1)
    method = build_method(distill, *shapes, None, training=split)
    base = method if isinstance(method, ContrastiveRepresentation) else method.base
    assert isinstance(base, ContrastiveRepresentation)
    samples = Samples(torch.tensor([3, 11, 0, 5]), 2)
    embedded = base.student_embedding(student.pooled), base.teacher_embedding(teacher.pooled)
    assert base.memory is not None
    expected = base.memory.eval()(*embedded, samples).item()
    base.memory.train()
    losses = method(student, teacher, labels, 0.5, samples)
    assert losses["feature"].item() == pytest.approx(0.5 * 0.8 * expected, rel=1e-5)
    state = {name.rpartition(".")[2] for name in method.state_dict() if "memory" in name}
    assert state == {"student", "teacher", "log_normaliser"}
    for missing in (build_method(distill, *shapes, None), method):
        with pytest.raises(ValueError, match="a memory needs the training split"):
            missing(student, teacher, labels, 0.5)


def test_net_without_pooled_features_and_a_missing_teacher_are_refused() -> None:
    settings = loss_settings(feature={"weight": 0.8})
    several, tokens = shape_of(network_output(0, 2, 3, 4)), NetworkShape(3, 3, None, False, has_classifier=False)
    with pytest.raises(UsageError, match=r"^distill: crd needs pooled features, and the teacher has none"):
        ContrastiveRepresentation(settings, several, tokens)
    with pytest.raises(UsageError, match=r"^distill.method: crd needs a visual teacher"):
        ContrastiveRepresentation(settings, several, None)


@pytest.mark.parametrize("off", [{"bank": 0}, {"bank": 7, "weight": 0.0}])
def test_memory_that_would_not_be_asked_is_not_made(off: dict[str, object]) -> None:
    student = network_output(0, 4, 3, 5)
    method = ContrastiveRepresentation(
        loss_settings(ce={"weight": 1.0}, feature={"weight": 0.8, **off}), shape_of(student), shape_of(student)
    )
    method.prepare(TrainingSplit(np.arange(20) % 3, seed=1))
    assert method.memory is None
    assert set(method(student, student, labels_of(0, 4, 3), 1.0)) == ({"ce"} if "weight" in off else {"ce", "feature"})


def test_mixed_labels_reach_the_cross_entropy() -> None:
    student, labels = network_output(0, 4, 3, 5), labels_of(0, 4, 3)
    method = ContrastiveRepresentation(
        loss_settings(ce={"weight": 1.0}, feature={"weight": 0.8}), shape_of(student), shape_of(student)
    )
    shares = torch.tensor([0.5, 1.0, 0.7, 0.9])
    found = method(student, student, labels, 1.0, Samples(torch.arange(4), 0, labels.flip(0), shares))["ce"]
    assert found.item() == cross_entropy(student.logits, labels, mixed=(labels.flip(0), shares)).item()


def test_features_in_half_precision_are_embedded_in_full() -> None:
    student, teacher = (network_output(seed, 6, 3, 4, dtype=torch.bfloat16) for seed in (0, 1))
    method = ContrastiveRepresentation(loss_settings(feature={"weight": 1.0}), shape_of(student), shape_of(teacher))
    labels = labels_of(0, 6, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = method(student, teacher, labels, 1.0)["feature"].item()
    wide = [each._replace(pooled=each.pooled.float()) for each in (student, teacher)]
    assert found == pytest.approx(method(*wide, labels, 1.0)["feature"].item(), rel=1e-6)


def test_without_a_bank_nothing_is_remembered() -> None:
    student = network_output(0, 4, 3, 5)
    split = TrainingSplit(np.arange(20) % 3, seed=1)
    method = build_method(
        DistillSettings(method="crd", balance="none"), *2 * (shape_of(student),), None, training=split
    )
    assert not list(method.buffers())
