import sys

import pytest
import torch

from exporters.tensorrt.gpu import Gpu, current_gpu


def test_gpu_is_the_one_that_torch_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 9))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA L4")
    assert current_gpu() == Gpu("NVIDIA L4", "8.9")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert current_gpu() is None


def test_no_gpu_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert current_gpu() is None
