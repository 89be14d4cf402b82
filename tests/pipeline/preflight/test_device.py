import pytest
import torch

from pipeline.preflight import device
from tests.pipeline.preflight.conftest import Prospect


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_missing_device_is_unavailable(prospect: Prospect) -> None:
    assert not prospect.report(device.check, "device=cpu").errors
    (error,) = prospect.report(device.check, "device=cuda").errors
    assert error.exit_code == 4
    (error,) = prospect.report(device.check, "device=cpu", "data.decode=gpu").errors
    assert error.exit_code == 4 and "data.decode: gpu needs an NVIDIA GPU" in error.message


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
@pytest.mark.parametrize("section", ["train", "teacher.visual.fit"])
def test_cuda_graphs_without_cuda_are_unavailable(prospect: Prospect, section: str) -> None:
    compiled = f"{section}.compile=true"
    assert not prospect.report(device.check, compiled).errors
    (error,) = prospect.report(device.check, compiled, f"{section}.cuda_graphs=true").errors
    assert error.exit_code == 4
    assert error.message.startswith(f"{section}.cuda_graphs: CUDA graphs need an NVIDIA GPU, and the device here is ")
