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
