import pytest
import torch

from exporters.errors import UsageError
from pipeline.distill.methods.dkd import DecoupledDistillation
from pipeline.distill.settings import LossSettings
from tests.pipeline.distill.networks import labels_of, network_output, shape_of

SETTINGS = LossSettings(ce_weight=1.0, logits_weight=1.0, logits_temperature=4.0)


def test_two_classes_are_refused() -> None:
    shape = shape_of(network_output(0, 2, 2, 4))
    with pytest.raises(UsageError, match="dkd is not defined for 2 classes") as caught:
        DecoupledDistillation(SETTINGS, shape, shape)
    assert caught.value.exit_code == 2


def test_it_is_warmed_up() -> None:
    student, teacher = network_output(0, 3, 4, 4), network_output(1, 3, 4, 4)
    method = DecoupledDistillation(SETTINGS, shape_of(student), shape_of(teacher))
    labels = labels_of(0, 3, 4)
    full, start = method(student, teacher, labels, 1.0), method(student, teacher, labels, 0.0)
    assert start["logits"].item() == 0 < full["logits"].item()
    assert torch.equal(start["ce"], full["ce"])
