import numpy as np
import pytest
import torch

from exporters.core.errors import UsageError
from exporters.student.architectures.cifar.resnet import BasicBlock, PaddedShortcut
from tests.exporters.student.architectures.cifar.networks import COMPARED, make, parameters

# He et al. 2016, table 6, in millions for 10 classes.
PUBLISHED = {"resnet20": 0.27, "resnet32": 0.46, "resnet44": 0.66, "resnet56": 0.85, "resnet110": 1.7}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_parameter_counts_match_the_resnet_paper(name: str) -> None:
    count = parameters(make(name, 10)) / 1e6
    assert count == pytest.approx(PUBLISHED[name], abs=0.03 if name == "resnet110" else 0.006)


def test_option_a_has_no_parameters() -> None:
    assert parameters(make("resnet20", 10)) == parameters(make("resnet20", 10, shortcut="A")) == 269_722
    assert parameters(make("resnet56", 10)) == 853_018
    projections = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert parameters(make("resnet20", 10, shortcut="B")) == 269_722 + projections
    assert parameters(make("resnet8x4", 100, shortcut="A")) < COMPARED["resnet8x4"]


@pytest.mark.parametrize("value", ["C", "b", 1, True])
def test_unknown_shortcut_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="shortcut"):
        make("resnet20", 10, shortcut=value)


def test_keys_are_those_of_the_shared_checkpoints() -> None:
    keys = list(make("resnet20", 10).state_dict())
    assert keys[:2] == ["conv1.weight", "bn1.weight"]
    assert {"layer1.0.conv1.weight", "layer2.0.bn2.running_var", "layer3.2.conv2.weight", "linear.bias"} <= set(keys)
    assert not any("shortcut" in key for key in keys)


def test_option_a_subsamples_and_appends_zeros() -> None:
    x = torch.randn(1, 2, 4, 4)
    y = PaddedShortcut(2, 4, 2)(x)
    assert torch.equal(y[:, 1:3], x[:, :, ::2, ::2])
    assert not y[:, 0].any()
    assert not y[:, 3].any()


@pytest.mark.parametrize("side", [4, 7])
def test_option_a_keeps_pixels_and_gradients_in_training_and_their_layout(side: int) -> None:
    x = torch.randn(2, 3, side, side).contiguous(memory_format=torch.channels_last).requires_grad_()
    shortcut, results = PaddedShortcut(3, 6, 2), []
    for training in (False, True):
        y = shortcut.train(training)(x)
        (gradient,) = torch.autograd.grad((y * torch.arange(y.numel()).view(y.shape)).sum(), x)
        results.append((y, gradient))
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_option_b_projects_the_pixels_of_option_a() -> None:
    block = BasicBlock(2, 4, 2, project=True).eval()
    block.bn2.weight.zero_()
    x = torch.randn(1, 2, 4, 4)
    matrix = block.shortcut[0].weight[:, :, 0, 0].numpy()
    projected = np.einsum("kc,bchw->bkhw", matrix, x[:, :, ::2, ::2].numpy()) / np.float32(np.sqrt(1 + 1e-5))
    torch.testing.assert_close(block(x), torch.from_numpy(projected).relu())
