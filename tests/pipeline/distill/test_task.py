import numpy as np
import pytest
import torch

from exporters.student.architectures import Architecture, build
from pipeline.distill.build import build_method
from pipeline.distill.loss_settings import ContrastSettings
from pipeline.distill.methods.ce import CrossEntropy
from pipeline.distill.settings import DistillSettings
from pipeline.distill.task import DistillationTask
from pipeline.models.outputs import NetworkOutput
from pipeline.models.tapped import TappedNetwork
from tests.pipeline.distill.networks import loss_settings

CLASSES = 5
CONTRAST = ContrastSettings(weight=0.8)


def network(seed: int) -> TappedNetwork:
    torch.manual_seed(seed)
    return TappedNetwork(build(Architecture("resnet8", "cifar"), CLASSES), (0.5,) * 3, (0.2,) * 3, 16)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(1)
    return torch.rand(4, 3, 16, 16, generator=drawn), torch.randint(0, CLASSES, (4,), generator=drawn)


def test_plain_training_is_cross_entropy():
    student = network(0).eval()
    task = DistillationTask(student, CrossEntropy(loss_settings(ce={"weight": 1.0}), student.shape, None)).eval()
    images, labels = batch()
    losses = task(images, labels, None, 1.0)
    with torch.no_grad():
        logits = student(images).logits.double().numpy()
    expected = -(logits[np.arange(4), labels] - np.log(np.exp(logits).sum(axis=1))).mean()
    assert list(losses) == ["ce"]
    assert losses["ce"].item() == pytest.approx(expected, rel=1e-5)


def test_every_loss_of_tmkd_reaches_the_student_and_none_the_teacher():
    student, visual = network(0).train(), network(1).eval().requires_grad_(False)
    anchors = torch.randn(CLASSES, 8, generator=torch.Generator().manual_seed(0))
    method = build_method(
        DistillSettings(method="tmkd", balance="none", contrast=CONTRAST), student.shape, visual.shape, anchors
    )
    task = DistillationTask(student, method)
    images, labels = batch()
    teacher: NetworkOutput = visual(images)
    losses = task(images, labels, teacher, 0.5)
    assert set(losses) == {"ce", "logits", "feature", "contrast"}
    for loss in losses.values():
        student.zero_grad()
        loss.backward(retain_graph=True)
        assert student.network.conv1.weight.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in visual.parameters())
    ramped = task(images, labels, teacher, 1.0)
    for name, factor in {"ce": 1.0, "logits": 1.0, "feature": 2.0, "contrast": 2.0}.items():
        assert ramped[name].item() == pytest.approx(factor * losses[name].item(), rel=1e-4), name


def test_the_parameters_are_those_of_student_and_method():
    student = network(0)
    anchors = torch.randn(CLASSES, 8)
    method = build_method(DistillSettings(method="tmkd", contrast=CONTRAST), student.shape, network(1).shape, anchors)
    names = {name for name, _ in DistillationTask(student, method).named_parameters()}
    own = {f"student.{name}" for name, _ in student.named_parameters()}
    assert own < names
    assert all(name.startswith("method.head.") for name in names - own)
    assert len(names - own) == 2


def test_classifier_gives_the_logits_of_the_student():
    student = network(0).eval()
    task = DistillationTask(student, CrossEntropy(loss_settings(ce={"weight": 1.0}), student.shape, None)).eval()
    images, _labels = batch()
    with torch.no_grad():
        assert torch.equal(task.classifier()(images), student(images).logits)
