import logging
import warnings
from typing import Any

import pytest
import torch

from exporters.core.errors import UnavailableError
from pipeline.training.device import computed_precision, describe_device, make_fabric


def test_the_cpu_trains_in_fp32(capfd: pytest.CaptureFixture[str]):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fabric = make_fabric("cpu", "auto")
    assert fabric.device == torch.device("cpu")
    assert fabric.world_size == 1
    assert describe_device(fabric) == f"cpu ({torch.get_num_threads()} threads), 32-true"
    assert capfd.readouterr() == ("", "")


def test_bf16_computes_in_bf16_and_keeps_fp32_weights():
    fabric = make_fabric("cpu", "bf16")
    assert describe_device(fabric).endswith("bf16-mixed")
    layer = torch.nn.Linear(3, 2)
    with fabric.autocast():
        assert layer(torch.ones(1, 3)).dtype == torch.bfloat16
    wrapped = fabric.setup(layer)
    assert wrapped(torch.ones(1, 3)).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


def test_auto_takes_the_available_device():
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert make_fabric("auto", "auto").device.type == "cpu"
    elif torch.cuda.is_available():
        assert make_fabric("auto", "auto").device.type == "cuda"


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_missing_device_is_refused(device: str):
    there = torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
    if there:
        pytest.skip(f"this machine has {device}")
    with pytest.raises(UnavailableError, match=device) as caught:
        make_fabric(device, "auto")
    assert caught.value.exit_code == 4
    assert "device=auto" in str(caught.value.remedy)


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_fp16_needs_a_gpu(device: str):
    if device == "auto" and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        pytest.skip("this machine has a GPU")
    with pytest.raises(UnavailableError, match="fp16 needs a GPU") as caught:
        make_fabric(device, "fp16")
    assert caught.value.exit_code == 4


def test_the_root_logger_is_left_alone():
    before = logging.getLogger().level, list(logging.getLogger().handlers)
    make_fabric("cpu", "fp32")
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before


@pytest.mark.parametrize(("asked", "computed"), [("auto", "32-true"), ("fp32", "32-true"), ("bf16", "bf16-mixed")])
def test_computed_precision_is_the_one_in_use(asked: Any, computed: str):
    assert computed_precision(make_fabric("cpu", asked)) == computed


@pytest.mark.gpu
def test_computed_precision_tells_tf32_from_fp32(monkeypatch: pytest.MonkeyPatch):
    fabric = make_fabric("cuda", "fp32")
    rounds = torch.cuda.get_device_capability()[0] >= 8
    assert computed_precision(fabric) == ("32-true, tf32" if rounds else "32-true")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert computed_precision(fabric) == "32-true"


@pytest.mark.gpu
def test_cuda_takes_bf16_where_the_card_computes_in_it():
    fabric = make_fabric("auto", "auto")
    expected = "bf16-mixed" if torch.cuda.get_device_capability()[0] >= 8 else "16-mixed"
    assert describe_device(fabric) == f"{torch.cuda.get_device_name()}, {expected}"
