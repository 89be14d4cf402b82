import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from exporters.audit.fused import fused_tensors
from exporters.core.errors import GateError
from exporters.student.student import TrainedStudent
from tests.exporters.conftest import LABELS, Exported, randomise


def branch(channels: int, kernel: int, *, bias: bool = False) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, channels, kernel, padding=kernel // 2, bias=bias), nn.BatchNorm2d(channels))


class Summed(nn.Module):
    """3x3 + 1x1 + identity, as in RepVGG, but fused by code of this test; `wrong` changes one weight of the result."""

    def __init__(self, wrong: float = 0) -> None:
        super().__init__()
        self.large, self.small, self.identity = branch(3, 3, bias=True), branch(3, 1), nn.BatchNorm2d(3)
        self.wrong = wrong
        self.fused: nn.Conv2d | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.fused is not None:
            return self.fused(x)
        return self.large(x) + self.small(x) + self.identity(x)

    def reparameterize(self) -> None:
        """The kernel and bias read off from impulses."""
        layer = nn.Conv2d(3, 3, 3, padding=1)
        with torch.no_grad():
            bias = self(torch.zeros(1, 3, 5, 5, dtype=torch.float64))[0, :, 2, 2]
            kernel = torch.zeros(3, 3, 3, 3, dtype=torch.float64)
            for channel in range(3):
                impulse = torch.zeros(1, 3, 5, 5, dtype=torch.float64)
                impulse[0, channel, 2, 2] = 1
                response = self(impulse)[0] - bias[:, None, None]
                kernel[:, channel] = response[:, 1:4, 1:4].flip(1, 2)
            kernel[1, 2, 0, 1] += self.wrong
        layer.weight, layer.bias = nn.Parameter(kernel), nn.Parameter(bias)
        self.fused = layer
        del self.large, self.small, self.identity


class Scaled(Summed):
    """With a scale behind the sum, which only the comparison on random input can follow."""

    def __init__(self, wrong: float = 0) -> None:
        super().__init__(wrong)
        self.scale = nn.Parameter(torch.tensor([0.5, 2.0, 1.5]).view(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * (1 if self.fused is not None else self.scale)


class Net(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block, self.linear = block, nn.Linear(3, len(LABELS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.block(x).mean(dim=(2, 3)))


def student(cifar: Exported, block: nn.Module) -> TrainedStudent:
    torch.manual_seed(0)
    return dataclasses.replace(cifar.student, module=randomise(Net(block), 2))


@pytest.mark.parametrize("block", [Summed, Scaled])
def test_fused_blocks_are_proved(cifar: Exported, block: type[Summed]) -> None:
    one = student(cifar, block())
    found = fused_tensors(one)
    assert list(found) == ["block.fused.weight", "block.fused.bias"]
    assert {origin for origin, _ in found.values()} == {"re-parameterised block"}
    assert found["block.fused.weight"][1].dtype == np.float32
    x = torch.randn(2, 3, 9, 9)
    weight, bias = (torch.from_numpy(value) for _, value in found.values())
    with torch.no_grad():
        expected = one.module.get_submodule("block")(x)
    torch.testing.assert_close(nn.functional.conv2d(x, weight, bias, padding=1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", [Summed, Scaled])
def test_one_wrong_weight_is_found(cifar: Exported, block: type[Summed], monkeypatch: pytest.MonkeyPatch) -> None:
    # The comparison of whole networks is looser, and out of the way here.
    monkeypatch.setattr("exporters.onnx.reparameterize.MAX_SCALED_ERROR", 1.0)
    with pytest.raises(GateError, match=r"block\.fused is not what the student's branches in block add up to"):
        fused_tensors(student(cifar, block(wrong=1e-4)))


def test_without_branches_there_is_nothing_to_prove(cifar: Exported) -> None:
    assert fused_tensors(cifar.student) == {}


class Normed(nn.Module):
    """A convolution that keeps its name when the batch norm beside it is folded into it."""

    def __init__(self, wrong: float = 0) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.wrong = wrong

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x))

    def reparameterize(self) -> None:
        scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        layer = nn.Conv2d(3, 3, 3, padding=1)
        kernel = self.conv.weight * scale[:, None, None, None]
        kernel[0, 0, 1, 1] += self.wrong
        layer.weight = nn.Parameter(kernel)
        layer.bias = nn.Parameter(self.norm.bias - self.norm.running_mean * scale)
        self.conv, self.norm = layer, nn.Identity()


class Stacked(nn.Module):
    """Two of them, and a classifier."""

    def __init__(self, wrong: float = 0) -> None:
        super().__init__()
        self.body = nn.Sequential(Normed(wrong), Normed())
        self.head = nn.Linear(3, len(LABELS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


def test_a_norm_folded_into_the_layer_beside_it_is_proved_around_that_layer(cifar: Exported) -> None:
    student = dataclasses.replace(cifar.student, module=randomise(Stacked(), 5))
    origins = {name: origin for name, (origin, _) in fused_tensors(student).items()}
    assert origins["body.0.conv.weight"] == "re-parameterised body.0"
    assert origins["body.1.conv.bias"] == "re-parameterised body.1"


def test_a_norm_folded_wrongly_is_found(cifar: Exported) -> None:
    student = dataclasses.replace(cifar.student, module=randomise(Stacked(1e-3), 5))
    with pytest.raises(GateError):
        fused_tensors(student)
