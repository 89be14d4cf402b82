import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models

from exporters.audit import audit_export
from exporters.core.errors import UsageError
from exporters.onnx.export import export_onnx
from exporters.runtimes import OnnxRuntime, TorchRuntime
from exporters.student.architectures import CIFAR_NAMES, Architecture, build
from exporters.student.architectures.cifar.layers import ChannelShuffle
from exporters.student.architectures.cifar.resnet import BasicBlock, PaddedShortcut
from exporters.student.architectures.cifar.shufflenet import GroupedUnit
from exporters.student.architectures.cifar.wrn import PreActivationBlock
from exporters.student.student import load_student
from tests.exporters.conftest import make_student, random_images, randomise

# He et al. 2016, table 6, in millions for 10 classes.
PUBLISHED = {"resnet20": 0.27, "resnet32": 0.46, "resnet44": 0.66, "resnet56": 0.85, "resnet110": 1.7}
# The nets of the comparison in Tian et al. 2020, for 100 classes; its narrow ResNets have shortcuts of option B.
# Equal counts do not mean equal functions. Where the nets of that comparison leave their papers without a change of
# the count, ours follow the papers: MobileNetV2 has ReLU6 rather than ReLU, ShuffleNetV1 no ReLU after its depthwise
# convolutions and the averaged input before the branch. Our VGGs pool three times at every image size, theirs once
# more at 64 pixels.
COMPARED = {
    "resnet20": 278_324,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
    "wrn-16-2": 703_284,
    "wrn-40-1": 569_780,
    "wrn-40-2": 2_255_156,
    "vgg8": 3_965_028,
    "vgg13": 9_462_180,
    "mobilenet_v2": 812_836,
    "shufflenet_v1": 949_258,
    "shufflenet_v2": 1_355_528,
}
# Side of the image over side of the last map.
REDUCTION = {"resnet": 4, "wrn": 4, "vgg": 8, "mobilenet": 16, "shufflenet": 8}
OTHERS = [name for name in CIFAR_NAMES if not name.startswith("resnet")]


def make(name: str, classes: int, **arguments: object) -> nn.Module:
    torch.manual_seed(0)
    return build(Architecture(name, "cifar", arguments), classes)


def parameters(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def option_b(name: str) -> dict[str, str]:
    return {"shortcut": "B"} if re.fullmatch(r"resnet\d+", name) else {}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_counts_of_the_residual_nets_paper(name: str) -> None:
    count = parameters(make(name, 10)) / 1e6
    assert count == pytest.approx(PUBLISHED[name], abs=0.03 if name == "resnet110" else 0.006)


@pytest.mark.parametrize("name", sorted(COMPARED))
def test_counts_of_the_distillation_comparison(name: str) -> None:
    assert parameters(make(name, 100, **option_b(name))) == COMPARED[name]


def test_option_a_has_no_parameters() -> None:
    assert parameters(make("resnet20", 10)) == parameters(make("resnet20", 10, shortcut="A")) == 269_722
    assert parameters(make("resnet56", 10)) == 853_018
    projections = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert parameters(make("resnet20", 10, shortcut="B")) == 269_722 + projections
    assert parameters(make("resnet8x4", 100, shortcut="A")) < COMPARED["resnet8x4"]


@pytest.mark.parametrize("value", ["C", "b", 1, True])
def test_an_unknown_shortcut(value: object) -> None:
    with pytest.raises(UsageError, match="shortcut"):
        make("resnet20", 10, shortcut=value)


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("name", CIFAR_NAMES)
def test_shapes(name: str, size: int) -> None:
    module = make(name, 5).train()
    x = torch.randn(2, 3, size, size)
    side = size // REDUCTION[re.split(r"[^a-z]", name)[0]]
    with torch.no_grad():
        feature_map = module.forward_features(x)
        assert feature_map.shape == (2, module.linear.in_features, side, side)
        logits = module(x)
        torch.testing.assert_close(logits, module.linear(feature_map.mean((2, 3))))
    assert logits.shape == (2, 5)
    assert 0.01 < logits.abs().max() < 100  # at initialisation nothing dies out on the way, nor explodes


@pytest.mark.parametrize("name", [name for name in CIFAR_NAMES if re.match("resnet|wrn|vgg", name)])
def test_depth(name: str) -> None:
    layers = [key for key, part in make(name, 5).named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    depth = int(re.findall(r"\d+", name)[0])
    # A WRN of depth 6n+4 has 6n+2 layers beside its shortcuts; a VGG's name counts three linear layers, one is left.
    depth -= {"resnet": 0, "wrn": 2, "vgg": 2}[re.split(r"[^a-z]", name)[0]]
    assert sum("shortcut" not in key for key in layers) == depth


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


@torch.no_grad()
def test_option_b_projects_the_pixels_of_option_a() -> None:
    block = BasicBlock(2, 4, 2, project=True).eval()
    block.bn2.weight.zero_()
    x = torch.randn(1, 2, 4, 4)
    matrix = block.shortcut[0].weight[:, :, 0, 0].numpy()
    projected = np.einsum("kc,bchw->bkhw", matrix, x[:, :, ::2, ::2].numpy()) / np.float32(np.sqrt(1 + 1e-5))
    torch.testing.assert_close(block(x), torch.from_numpy(projected).relu())


@torch.no_grad()
def test_pre_activation_passes_the_input_or_projects_its_activation() -> None:
    x = torch.randn(2, 3, 6, 6)
    for out_channels, stride in ((3, 1), (5, 1), (3, 2)):
        block = randomise(PreActivationBlock(3, out_channels, stride), 1)
        activated = F.relu(block.bn1(x))
        branch = block.conv2(F.relu(block.bn2(block.conv1(activated))))
        beside = x if (out_channels, stride) == (3, 1) else block.shortcut(activated)
        torch.testing.assert_close(block(x), branch + beside)
        block.conv2.weight.zero_()
        torch.testing.assert_close(block(x), beside)


def test_the_shuffle_deals_channels_out() -> None:
    x = torch.arange(12.0).view(1, 12, 1, 1).expand(2, 12, 3, 3)
    shuffled = ChannelShuffle(3)(x)
    assert shuffled.shape == x.shape
    assert shuffled[1, :, 2, 0].tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]


@torch.no_grad()
def test_grouped_unit_adds_or_appends() -> None:
    x = torch.randn(2, 24, 6, 6)
    for out_channels, stride in ((24, 1), (48, 2)):
        unit = GroupedUnit(24, out_channels, stride, groups=3).eval()
        branch = unit.branch(x)
        expected = x + branch if stride == 1 else torch.cat((F.avg_pool2d(x, 3, 2, 1), branch), 1)
        assert unit(x).shape == (2, out_channels, 6 // stride, 6 // stride)
        torch.testing.assert_close(unit(x), expected.relu())
        assert not isinstance(unit.branch[-1], nn.ReLU)


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Give `target` the tensors of `source`, which are the same in the same order of modules."""
    tensors = list(source.state_dict().values())
    state = target.state_dict()
    assert [value.shape for value in tensors] == [value.shape for value in state.values()]
    target.load_state_dict(dict(zip(state, tensors, strict=True)))


@torch.no_grad()
def test_shufflenet_v2_is_that_of_torchvision_behind_another_stem() -> None:
    ours = randomise(make("shufflenet_v2", 10), 1)
    theirs = models.shufflenet_v2_x1_0(weights=None, num_classes=10)
    theirs.conv1[0] = nn.Conv2d(3, 24, 1, bias=False)
    theirs.maxpool = nn.Identity()
    theirs.eval()
    units = [unit for stage in (theirs.stage2, theirs.stage3, theirs.stage4) for unit in stage]
    copy_in_order(ours.features[:2], theirs.conv1[:2])
    copy_in_order(ours.features[-3:], theirs.conv5)
    copy_in_order(ours.linear, theirs.fc)
    for mine, other in zip(ours.features[3:-3], units, strict=True):
        copy_in_order(mine.branch, other.branch2)
        copy_in_order(mine.beside, other.branch1)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_mobilenet_v2_is_that_of_torchvision_with_one_more_expansion() -> None:
    ours = randomise(make("mobilenet_v2", 10), 1)
    setting = [
        [1, 16, 1, 1],
        [6, 24, 2, 1],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]
    theirs = models.mobilenet_v2(
        weights=None, num_classes=10, width_mult=0.5, inverted_residual_setting=setting, round_nearest=1
    ).eval()
    first = ours.features[3].branch
    nn.init.dirac_(first[0].weight)  # an expansion that changes nothing, as torchvision leaves it out
    first[1].reset_parameters()
    first[1].eps = 0.0
    kept = nn.ModuleList([ours.features[:3], first[3:], ours.features[4:], ours.linear])
    copy_in_order(kept, theirs)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_vgg13_is_that_of_torchvision_without_its_last_pools() -> None:
    ours = randomise(make("vgg13", 10), 1)
    theirs = models.vgg13_bn(weights=None).features
    pools = [index for index, part in enumerate(theirs) if isinstance(part, nn.MaxPool2d)]
    theirs = nn.Sequential(*(part for index, part in enumerate(theirs) if index not in pools[3:])).eval()
    copy_in_order(ours.features, theirs)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours.forward_features(x), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*OTHERS, "resnet20"])
def test_saved_and_loaded(name: str, tmp_path: Path) -> None:
    architecture = Architecture(name, "cifar", option_b(name))
    first = make_student(tmp_path, architecture, 32)
    second = load_student(tmp_path)
    assert second.architecture == architecture
    state = second.module.state_dict()
    assert list(state) == list(first.module.state_dict())
    assert all(torch.equal(value, state[key]) for key, value in first.module.state_dict().items())
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(second.module(x), first.module(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    "name",
    [
        *("wrn-16-2", "vgg8"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("resnet20", "wrn-40-1", "wrn-40-2", "vgg13", "mobilenet_v2", "shufflenet_v1", "shufflenet_v2")
        ),
    ],
)
def test_exported_and_audited(name: str, tmp_path: Path) -> None:
    student = make_student(tmp_path, Architecture(name, "cifar", option_b(name)), 32)
    export = export_onnx(student, tmp_path / "model.onnx", licence="Apache-2.0")
    entries = audit_export(export.path.read_bytes(), student)
    assert sum(int(np.prod(entry["dims"])) for entry in entries) >= student.parameters * 0.9
    images = random_images(3, 32)
    reference, logits = TorchRuntime(student).predict(images), OnnxRuntime(export.path, threads=1).predict(images)
    np.testing.assert_allclose(logits, reference, rtol=1e-3, atol=1e-3 * np.abs(reference).max())
