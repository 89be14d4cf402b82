import dataclasses

import numpy as np
import pytest
import torch

from exporters.artifacts.rehearsal import MAX_SCALED_ERROR, opset_that_works, rehearse, rehearse_variant
from exporters.core.errors import GateError
from tests.exporters.conftest import Exported


def test_rehearsal_exports_and_audits_a_copy(cifar: Exported) -> None:
    before = {name: value.clone() for name, value in cifar.student.module.state_dict().items()}
    fp32 = rehearse(cifar.student, 20)
    assert fp32.error <= MAX_SCALED_ERROR and fp32.model != cifar.data
    assert [entry["name"] for entry in fp32.entries] == [entry["name"] for entry in cifar.entries]
    for name, value in cifar.student.module.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    rehearse_variant("fp16", fp32, cifar.student.preprocessing.size)


class WithForeignTable(torch.nn.Module):
    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.module(image)
        return logits + torch.arange(logits.shape[1] * 100)[::100]  # a tensor that no student's state explains


def test_network_that_the_audit_does_not_explain_is_refused(cifar: Exported) -> None:
    student = dataclasses.replace(cifar.student, module=WithForeignTable(cifar.student.module).eval())
    with pytest.raises(GateError, match="does not explain"):
        rehearse(student, 20)
    assert opset_that_works(student, (20,)) is None
