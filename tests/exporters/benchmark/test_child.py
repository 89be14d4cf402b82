"""A runtime in a child process."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from exporters.benchmark.child import Child
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.tensorrt.gpu import current_gpu
from tests.exporters.conftest import Exported


def test_plan_without_a_gpu_is_reported_as_unavailable(cifar: Exported) -> None:
    pytest.importorskip("tensorrt_rtx")
    if current_gpu() is not None:
        pytest.skip("there is a GPU")
    with Child("engine") as child, pytest.raises(UnavailableError, match="torch finds none here"):
        child.load_engine(b"plan", cifar.images, "tensorrt_rtx")


def test_a_child_has_its_own_memory_and_raises_what_its_runtime_raises(cifar: Exported) -> None:
    with Child("first") as child:
        child.load_onnx(cifar.data, cifar.images, "cpu", 1)
        np.testing.assert_allclose(child.logits(), cifar.logits, atol=1e-4 * np.abs(cifar.logits).max())
        assert len(child.time(2, 3)) == 3
        if Path("/proc/self/status").exists():
            assert child.resident_bytes is not None and child.resident_bytes > 1_000_000
        with pytest.raises(GateError, match=r"^first: the model cannot be loaded"):
            child.load_onnx(b"no model", cifar.images, "cpu", 1)
        with pytest.raises(UsageError, match="npu"):
            child.load_onnx(cifar.data, cifar.images, "npu", 1)
        os.kill(child._process.pid, signal.SIGKILL)
        with pytest.raises(UnavailableError, match="first: the process that ran it ended"):
            child.time(1, 1)
