import copy

import pytest
import torch
from torch import Tensor, nn

from exporters.student.architectures import Architecture, build
from pipeline.models.deployment.folding import fold_batch_norms


def settled(network: nn.Module) -> nn.Module:
    """In eval mode, with batch norms that change what goes through them."""
    draws = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
            ):
                values.data.uniform_(low, high, generator=draws)  # type: ignore[union-attr]
    return network.eval().requires_grad_(False)


def built(name: str, source: str) -> nn.Module:
    torch.manual_seed(0)
    return settled(build(Architecture(name, source), 7))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "name", "left"),
    [("cifar", "resnet8", 0), ("torchvision", "mobilenet_v2", 0), ("timm", "resnet10t", 0), ("timm", "ghostnet_050", 0),
     ("timm", "vit_tiny_patch16_224", 0)],
)  # fmt: skip
def test_folded_network_gives_the_same_in_float64(source: str, name: str, left: int) -> None:
    network = built(name, source).double()
    images = torch.rand(2, 3, 224 if "vit" in name else 64, 224 if "vit" in name else 64, dtype=torch.float64)
    expected = network(images)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert fold_batch_norms(network, images) == norms - left
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == left
    torch.testing.assert_close(network(images), expected, rtol=1e-9, atol=1e-9)


class _Block(nn.Module):
    """A batch norm behind a convolution, each pair used as the test says."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        self.conv, self.norm = nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)
        self.other = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "shared norm":
            return self.norm(self.conv(x)) + self.norm(x)
        if self.kind == "shared convolution":
            return self.norm(self.conv(x)) + self.other(self.conv(x))
        if self.kind == "two readers":
            y = self.conv(x)
            return self.norm(y) + self.other(y)
        return self.norm(self.conv(x))


@pytest.mark.parametrize("kind", ["shared norm", "shared convolution", "two readers"])
def test_pair_with_another_use_is_left_alone(kind: str) -> None:
    block, images = settled(_Block(kind)), torch.rand(2, 3, 5, 5)
    expected = block(images)
    assert fold_batch_norms(block, images) == 0
    assert torch.equal(block(images), expected)


def test_norm_without_scale_folds() -> None:
    block = _Block("alone")
    block.norm = nn.BatchNorm2d(3, affine=False)
    block.norm.running_mean.fill_(2.0)  # type: ignore[union-attr]
    block.eval().requires_grad_(False)
    images = torch.rand(2, 3, 5, 5)
    expected = block(images)
    assert fold_batch_norms(block, images) == 1
    torch.testing.assert_close(block(images), expected)


def test_norm_that_uses_the_batch_is_left_alone() -> None:
    block = _Block("alone")
    block.norm = nn.BatchNorm2d(3, track_running_stats=False)
    assert fold_batch_norms(block.eval(), torch.rand(2, 3, 5, 5)) == 0


class _Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, (self.weight - self.weight.mean()) / self.weight.std(), self.bias)


def test_convolution_that_computes_its_weights_is_left_alone() -> None:
    block = _Block("alone")
    block.conv = _Standardised(3, 3, 1, bias=False)
    block, images = settled(block), torch.rand(2, 3, 5, 5)
    expected = block(images)
    assert fold_batch_norms(block, images) == 0
    assert torch.equal(block(images), expected)


def test_hook_on_a_folded_norm_sees_what_it_saw() -> None:
    block, images, seen = settled(_Block("alone")), torch.rand(2, 3, 5, 5), []
    block.norm.register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))  # type: ignore[union-attr,operator]
    block(images)
    fold_batch_norms(block, images)
    seen = seen[:1]
    block.norm.register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))  # type: ignore[union-attr,operator]
    block(images)
    torch.testing.assert_close(seen[-1], seen[0])


def test_copy_is_folded_and_the_network_is_not() -> None:
    network, images = built("resnet8", "cifar"), torch.rand(2, 3, 32, 32)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    fold_batch_norms(copy.deepcopy(network), images)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
