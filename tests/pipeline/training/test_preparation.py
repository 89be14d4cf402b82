import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from exporters.student.architectures import Architecture, build
from pipeline.training.preparation import prepared

CPU = torch.device("cpu")


class Calls(TorchDispatchMode):
    """Names of the operators that a block calls, of its backward pass too."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(function).split(".")[1])
        return function(*args, **(kwargs or {}))


def trained(network: nn.Module) -> tuple[list[str], dict[str, torch.Tensor]]:
    """Operators of two steps, and the weights after them."""
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.train().parameters(), lr=0.1)
    with Calls() as calls:
        for _ in range(2):
            optimizer.zero_grad()
            network(images).square().mean().backward()
            optimizer.step()
    return calls.names, network.state_dict()


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0"])
def test_input_of_activations_is_not_copied_and_weights_are_the_same_to_the_bit(name: str) -> None:
    torch.manual_seed(0)
    network = build(Architecture(name, "torchvision"), 3)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if type(module).__name__ == "StochasticDepth":
            module.p = 0.0
    before = copy.deepcopy(network).to(memory_format=torch.channels_last)
    copies, weights = trained(before)
    ours, ours_weights = trained(prepared(network, CPU))
    activations = sum(isinstance(module, nn.ReLU6 | nn.Hardswish | nn.SiLU) for module in network.modules())
    assert activations > 10
    assert copies.count("clone") - ours.count("clone") >= 2 * activations
    assert all(torch.equal(weights[key], ours_weights[key]) for key in weights)


def test_module_itself_is_prepared_with_weights_channels_last() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(inplace=True), nn.ReLU(inplace=True))
    assert prepared(network, CPU) is network
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    # The gradient of a plain ReLU needs its output alone.
    assert not network[1].inplace and network[2].inplace
