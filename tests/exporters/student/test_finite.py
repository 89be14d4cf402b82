import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from exporters.core.errors import UnavailableError
from exporters.student.finite import attention_masks, non_finite, read_safetensors, require_finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64])
def test_tensors_with_nan_or_infinite_values_are_named(bad: float, dtype: torch.dtype) -> None:
    broken = torch.ones(3, dtype=dtype)
    broken[1] = bad
    state = {"a": torch.ones(2), "b": broken, "steps": torch.tensor(3), "c": broken}
    assert non_finite(state) == ["b", "c"]
    with pytest.raises(UnavailableError) as caught:
        require_finite(state, "net.pth")
    assert caught.value.message == "net.pth: holds values that are NaN or infinite: b; c"
    assert caught.value.exit_code == 4 and caught.value.remedy
    require_finite(state, "net.pth", allowed={"b", "c"})


def test_weights_of_eight_bits_are_looked_at() -> None:
    sound = torch.ones(3, dtype=torch.float32)
    broken = torch.tensor([1.0, math.nan])
    state = {"sound": sound.to(torch.float8_e4m3fn), "broken": broken.to(torch.float8_e4m3fn)}
    assert non_finite(state) == ["broken"]


def test_masks_of_attention_are_told_from_broken_weights() -> None:
    network = nn.Linear(2, 2)
    masks = {"mask": torch.full((3, 3), -math.inf).triu(1), "mean": torch.tensor([0.0, -math.inf])}
    masks["scores"] = torch.tensor([[0.0, math.nan]])
    for name, value in masks.items():
        network.register_buffer(name, value)
    with torch.no_grad():
        network.weight.copy_(masks["mask"][:2, :2])
    assert attention_masks(network) == {"mask"}


def test_file_of_a_stage_is_read_only_where_it_is_finite(tmp_path: Path) -> None:
    path = tmp_path / "clip.safetensors"
    save_file({"weight": torch.ones(2)}, path)
    assert torch.equal(read_safetensors(path)["weight"], torch.ones(2))
    save_file({"weight": torch.tensor([1.0, math.inf])}, path)
    with pytest.raises(UnavailableError, match=r"clip\.safetensors: holds values that are NaN or infinite: weight\n"):
        read_safetensors(path)
