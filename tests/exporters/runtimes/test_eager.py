import copy
import dataclasses

import numpy as np
import pytest
import torch

from exporters.core.errors import UnavailableError, UsageError
from exporters.runtimes import TorchRuntime
from tests.exporters.conftest import Exported


def test_torch_equals_the_definition_in_float64(cifar: Exported) -> None:
    mean, std = (np.array(value) for value in (cifar.student.preprocessing.mean, cifar.student.preprocessing.std))
    x = ((cifar.images[:5] / 255 - mean) / std).transpose(0, 3, 1, 2)
    module = copy.deepcopy(cifar.student.module).double()
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    found = TorchRuntime(cifar.student).predict(cifar.images[:5])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_unusable_device_or_train_mode_is_an_error(cifar: Exported) -> None:
    for device in ("nonsense", "xpu:7"):
        with pytest.raises(UnavailableError, match="cannot be used"):
            TorchRuntime(cifar.student, device)
    training = copy.deepcopy(cifar.student.module).train()
    with pytest.raises(UsageError, match="train mode"):
        TorchRuntime(dataclasses.replace(cifar.student, module=training))
