import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from exporters.audit.fused import _branch_sum, _branches, _close, _fit, _is_sum, _prove, _same_function, fused_tensors
from exporters.core.errors import GateError
from exporters.images.preprocessing import Preprocessing
from exporters.student.architectures import Architecture
from exporters.student.student import TrainedStudent
from tests.exporters.conftest import LABELS, MEAN, STD, randomise

BASE = TrainedStudent(nn.Identity(), LABELS, Preprocessing(32, 36, MEAN, STD), Architecture("resnet8", "cifar"))


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Fusing imports timm: seconds that would be the first test's, and by which a mutant's time is measured."""
    import timm.utils  # noqa: F401


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


def student(block: nn.Module) -> TrainedStudent:
    torch.manual_seed(0)
    return dataclasses.replace(BASE, module=randomise(Net(block), 2))


@pytest.mark.parametrize("block", [Summed, Scaled])
def test_fused_blocks_are_proved(block: type[Summed]) -> None:
    one = student(block())
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
def test_one_wrong_weight_is_found(block: type[Summed], monkeypatch: pytest.MonkeyPatch) -> None:
    # The comparison of whole networks is looser, and out of the way here.
    monkeypatch.setattr("exporters.onnx.reparameterize.MAX_SCALED_ERROR", 1.0)
    with pytest.raises(GateError, match=r"block\.fused is not what the student's branches in block add up to"):
        fused_tensors(student(block(wrong=1e-4)))


def test_without_branches_there_is_nothing_to_prove() -> None:
    assert fused_tensors(BASE) == {}


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


def test_a_norm_folded_into_the_layer_beside_it_is_proved_around_that_layer() -> None:
    student = dataclasses.replace(BASE, module=randomise(Stacked(), 5))
    origins = {name: origin for name, (origin, _) in fused_tensors(student).items()}
    assert origins["body.0.conv.weight"] == "re-parameterised body.0"
    assert origins["body.1.conv.bias"] == "re-parameterised body.1"


def test_a_norm_folded_wrongly_is_found() -> None:
    student = dataclasses.replace(BASE, module=randomise(Stacked(1e-3), 5))
    with pytest.raises(GateError):
        fused_tensors(student)


# The parts of the proof, one by one.


def normed(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels))


class Grouped(nn.Module):
    """Of two groups, with kernels of different sizes, one with a bias, and an identity; attention is after the sum."""

    def __init__(self) -> None:
        super().__init__()
        large = nn.Conv2d(4, 4, (5, 3), padding=(2, 1), groups=2)
        small = nn.Conv2d(4, 4, (1, 3), padding=(0, 1), groups=2, bias=False)
        self.branches = nn.ModuleList([normed(large), normed(small)])
        self.identity, self.act = nn.BatchNorm2d(4), nn.ReLU()
        self.attention = nn.Sequential(nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum((branch(x) for branch in self.branches), self.identity(x))


def layer(kernel: tuple[int, int] = (5, 3), channels: int = 4, groups: int = 2) -> nn.Conv2d:
    return nn.Conv2d(4, channels, kernel, padding=(kernel[0] // 2, kernel[1] // 2), groups=groups)


def test_sum_of_branches_is_the_function_of_the_block() -> None:
    block = randomise(Grouped(), 4)
    branches = list(_branches(block))
    assert [None if convolution is None else convolution.kernel_size for convolution, _ in branches] == [
        (5, 3), (1, 3), None
    ]  # fmt: skip
    x = torch.randn(3, 4, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = copy.deepcopy(block).double()(x)
    for kernel in ((5, 3), (7, 5)):
        padding = (kernel[0] // 2, kernel[1] // 2)
        for order in (branches, branches[::-1]):
            weight, bias = (torch.from_numpy(value) for value in _branch_sum(order, layer(kernel)))
            found = nn.functional.conv2d(x, weight, bias, padding=padding, groups=2)
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("fused", "fits"),
    [
        (layer(), True),
        (layer((7, 5)), True),
        (layer((5, 2)), False),
        (layer((3, 3)), False),
        (layer(channels=6), False),
        (layer(groups=1), False),
        (layer(groups=4), False),
    ],
)
def test_branches_fit_a_kernel_that_is_at_least_as_large(fused: nn.Conv2d, fits: bool) -> None:
    assert _fit(list(_branches(Grouped())), fused) == fits


def test_norm_of_another_width_does_not_fit() -> None:
    assert not _fit([(None, nn.BatchNorm2d(6))], layer()) and _fit([(None, nn.BatchNorm2d(4))], layer())
    assert not _fit([(layer(), nn.BatchNorm2d(6))], layer())


class Holder(nn.Module):
    def __init__(self, *children: nn.Module) -> None:
        super().__init__()
        for index, child in enumerate(children):
            self.add_module(str(index), child)


def test_what_is_no_branch_of_convolution_and_norm() -> None:
    def count(*children: nn.Module) -> int:
        return len(list(_branches(Holder(*children))))

    good, norm, one = normed(layer()), nn.BatchNorm2d(4), layer((1, 1))
    assert count(good, nn.ReLU(), norm) == 2
    assert count(nn.Sequential(norm), nn.Sequential(nn.Sequential(one), norm)) == 2
    assert count(good, one, nn.Linear(4, 4), nn.Sequential(one, one)) == 1  # without a norm: after the sum
    assert count(good, nn.Sequential(norm, one)) == 0  # the norm comes first
    assert count(good, nn.Sequential(one, norm, nn.Linear(4, 4))) == 0
    assert count(good, nn.Sequential(nn.Linear(4, 4), norm)) == 0
    assert count(good, nn.Sequential(norm, nn.BatchNorm2d(4))) == 0
    scaled = Holder(good, norm)
    scaled.scale = nn.Parameter(torch.ones(1))
    assert list(_branches(scaled)) == []


def fused_by_sum(block: nn.Module, wrong_weight: float = 0, wrong_bias: float = 0) -> nn.Conv2d:
    kernel, bias = (torch.from_numpy(value) for value in _branch_sum(list(_branches(block)), layer()))
    fused = layer()
    kernel[tuple(np.unravel_index(int(kernel.abs().argmax()), kernel.shape))] += wrong_weight
    bias[0] += wrong_bias
    with torch.no_grad():
        fused.weight.copy_(kernel)
        fused.bias.copy_(bias)
    return fused


def test_sum_is_proved_by_kernel_and_bias_both() -> None:
    block = randomise(Grouped(), 4)
    for wrong in ({}, {"wrong_weight": 1e-4}, {"wrong_bias": 1e-4}):
        fused = fused_by_sum(block, **wrong)
        # The block that holds the fused layer gives something else: the branches alone prove it.
        assert _is_sum(block, nn.Tanh(), fused, whole=False) == (not wrong)
        assert not _is_sum(block, nn.Tanh(), fused, whole=True)
        assert _is_sum(block, fused, fused, whole=True) == (not wrong)
    without = layer()
    without.bias = None
    assert not _is_sum(block, nn.Tanh(), without, whole=False)
    assert not _is_sum(block, nn.Tanh(), nn.Linear(4, 4), whole=False)
    assert not _is_sum(block, nn.Tanh(), layer((3, 3)), whole=False)


class Active(Grouped):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(super().forward(x))


def test_branches_prove_a_layer_within_their_block_and_not_in_its_place() -> None:
    """In its place, the layer must be all that the block was: here it has lost the activation."""
    block = randomise(Active(), 4)
    fused = fused_by_sum(block)
    before = nn.ModuleDict({"block": block})
    assert _prove(before, nn.ModuleDict({"block": nn.ModuleDict({"fused": fused})}), "block.fused") == "block"
    with pytest.raises(GateError, match=r"the fused block is not what the student's branches in block add up to"):
        _prove(before, nn.ModuleDict({"block": fused}), "block")


def test_zeros_are_close_to_zeros_alone() -> None:
    zeros = torch.zeros(2, dtype=torch.float64)
    assert _close(zeros, np.zeros(2)) and not _close(zeros + 1e-12, np.zeros(2))


@pytest.mark.parametrize(
    ("found", "close"),
    [
        ([1.0, 2 + 1.8e-6], True),
        ([1.0, 2 + 2.2e-6], False),
        ([1 - 1.8e-6, 2.0], True),
        ([1 - 2.2e-6, 2.0], False),
        ([1.0, float("nan")], False),
        ([1.0, float("inf")], False),
        ([1.0], False),
        ([[1.0, 2.0]], False),
    ],
)
def test_close_is_a_millionth_of_the_largest_value(found: list[float], close: bool) -> None:
    assert _close(torch.tensor(found, dtype=torch.float64), np.array([1.0, 2.0])) == close
    assert _close(-torch.tensor(found, dtype=torch.float64), np.array([-1.0, -2.0])) == close
    for infinite in ([1.0, float("inf")], [float("nan"), 2.0]):  # a millionth of which is as large
        assert not _close(torch.tensor(found, dtype=torch.float64), np.array(infinite))


class Tokens(nn.Module):
    """A linear layer of tokens and a norm over their channels, which takes no other input."""

    def __init__(self, linear: nn.Linear, norm: nn.Module) -> None:
        super().__init__()
        self.linear, self.norm = linear, norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(x).transpose(1, 2)).transpose(1, 2)


def folded(linear: nn.Linear, norm: nn.BatchNorm1d, wrong: float = 0) -> nn.Linear:
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    fused = nn.Linear(linear.in_features, linear.out_features)
    fused.weight = nn.Parameter(linear.weight * scale[:, None] + wrong)
    fused.bias = nn.Parameter(norm.bias + (linear.bias - norm.running_mean) * scale)
    return fused


def a_norm() -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(5).eval()
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    return norm.double()


@pytest.mark.parametrize("tokens", [False, True])
def test_linear_layers_are_compared_on_vectors_or_tokens(tokens: bool) -> None:
    torch.manual_seed(2)
    linear, norm = nn.Linear(6, 5).double(), a_norm()
    before = Tokens(linear, norm) if tokens else nn.Sequential(linear, norm)
    for wrong in (0, 1e-3):
        fused = folded(linear, norm, wrong)
        after = Tokens(fused, nn.Identity()) if tokens else nn.Sequential(fused, nn.Identity())
        assert _same_function(before.eval(), after.eval(), fused) == (not wrong)


class Giving(nn.Module):
    """A block that gives something else than a tensor, or of another shape, or takes no input of these."""

    def __init__(self, make) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: torch.Tensor):
        return self.make(x)


def impossible(x: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("another input")


def test_blocks_that_cannot_be_compared_are_not_the_same() -> None:
    same, one = Giving(lambda x: x), layer()
    assert _same_function(same, Giving(lambda x: x.clone()), one)
    for other in (Giving(lambda x: (x,)), Giving(lambda x: x[:, :2]), Giving(impossible), Giving(lambda x: x.sum())):
        assert not _same_function(same, other, one) and not _same_function(other, same, one)
    assert not _same_function(Giving(impossible), Giving(impossible), one)
    assert not _same_function(Giving(lambda x: (x,)), Giving(lambda x: (x,)), one)
    assert not _same_function(same, same, nn.LayerNorm(4))  # which does not say how many channels it takes


def test_input_has_the_channels_of_the_layer_and_is_wider_than_its_kernel() -> None:
    seen: list[tuple[int, ...]] = []
    note = Giving(lambda x: seen.append(tuple(x.shape)) or x)
    assert _same_function(note, Giving(lambda x: x), layer())
    assert _same_function(note, Giving(lambda x: x), nn.Linear(6, 5))
    assert seen == [(8, 4, 16, 16), (8, 6)]


def test_comparison_changes_neither_block() -> None:
    block = randomise(Grouped(), 4).train()
    statistics = block.identity.running_mean.clone()
    _same_function(block, fused_by_sum(block), layer())
    assert block.training and {value.dtype for value in block.parameters()} == {torch.float32}
    assert torch.equal(block.identity.running_mean, statistics)
    fused = layer()
    drawn = torch.get_rng_state()
    _same_function(block, block, fused)
    assert torch.equal(torch.get_rng_state(), drawn)


def nested(depth: int, inner: nn.Module) -> nn.Module:
    """The module as `0.0…` within so many others."""
    for _ in range(depth):
        inner = nn.Sequential(inner)
    return inner


@pytest.mark.parametrize(("depth", "around"), [(1, "block"), (2, "block"), (3, None)])
def test_norm_is_looked_for_two_blocks_around_the_layer(depth: int, around: str | None) -> None:
    block = randomise(nn.Sequential(nested(depth - 1, layer((3, 3))), nn.BatchNorm2d(4)), 6)
    convolution, norm = next(each for each in block.modules() if isinstance(each, nn.Conv2d)), block[1]
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    fused = layer((3, 3))
    with torch.no_grad():
        fused.weight.copy_(convolution.weight * scale[:, None, None, None])
        fused.bias.copy_(norm.bias + (convolution.bias - norm.running_mean) * scale)
    before = nn.ModuleDict({"block": block})
    after = nn.ModuleDict({"block": nn.Sequential(nested(depth - 1, fused), nn.Identity())})
    leaf = ".".join(["block", *["0"] * depth])
    if around is None:
        with pytest.raises(
            GateError, match=rf"the fused {leaf} is not what the student's branches in {leaf} add up to"
        ):
            _prove(before, after, leaf)
    else:
        assert _prove(before, after, leaf) == around


def test_layer_at_the_root_is_of_the_network() -> None:
    with pytest.raises(GateError, match="branches in the network add up to"):
        _prove(nn.Tanh(), nn.ModuleDict({"fused": layer()}), "fused")
