"""Layer groups of networks of all three libraries, against groups that were written down by hand."""

import pytest
import torch
from torch import nn

from exporters.student.architectures import Architecture, build, resolve
from pipeline.models.depth import layer_groups
from pipeline.models.tapped import TappedNetwork


def tapped(name: str, side: int, **arguments: object) -> TappedNetwork:
    source, bare = resolve(name)
    torch.manual_seed(0)
    return TappedNetwork(build(Architecture(bare, source, arguments), 5), (0.5,) * 3, (0.2,) * 3, side)


def names_of(network: nn.Module, groups: list[list[nn.Parameter]]) -> list[list[str]]:
    names = {parameter: name for name, parameter in network.named_parameters()}
    return [[names[parameter] for parameter in group] for group in groups]


@pytest.mark.parametrize(
    ("name", "side", "first", "head"),
    [
        ("torchvision:resnet18", 64, ["conv1", "layer2", "layer3", "layer4"], "fc"),
        ("torchvision:mobilenet_v2", 64, ["features.0", "features.4", "features.7", "features.14"], "classifier.1"),
        ("timm:tf_efficientnet_lite0", 64, ["conv_stem", "blocks.2", "blocks.3", "blocks.5"], "classifier"),
        ("timm:resnet10t", 64, ["conv1", "layer2", "layer3", "layer4"], "fc"),
        ("cifar:resnet8", 32, ["conv1", "layer2", "layer3"], "linear"),
        ("timm:vit_tiny_patch16_224", 224, ["cls_token", "blocks.3", "blocks.6", "blocks.9"], "head"),
        ("timm:swin_tiny_patch4_window7_224", 224, ["patch_embed", "layers.1", "layers.2", "layers.3"], "head"),
    ],
)
def test_groups_are_stages_or_runs_of_blocks(name: str, side: int, first: list[str], head: str):
    network = tapped(name, side)
    groups = names_of(network.network, network.layers())
    assert [group[0].startswith(begin) for group, begin in zip(groups, first, strict=True)] == [True] * len(first), [
        group[0] for group in groups
    ]
    grouped = [name for group in groups for name in group]
    all_names = [name for name, _ in network.network.named_parameters()]
    assert len(grouped) == len(set(grouped))
    assert set(all_names) - set(grouped) == {name for name in all_names if name.startswith(f"{head}.")}


def test_a_parameter_outside_the_blocks_belongs_where_its_module_begins():
    network = tapped("timm:vit_tiny_patch16_224", 224)
    groups = names_of(network.network, network.layers())
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight"} <= set(groups[0])
    assert {"norm.weight", "norm.bias"} <= set(groups[-1])


def test_few_blocks_are_a_group_each_and_a_single_layer_is_one_group():
    small = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    assert names_of(small, layer_groups(small, "4", ())) == [["0.weight", "0.bias"], ["2.weight", "2.bias"]]
    # Without a known classifier the last matrix counts as the head.
    assert names_of(small, layer_groups(small, None, ())) == [["0.weight", "0.bias"], ["2.weight", "2.bias"]]
    single = nn.ModuleDict({"body": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    assert names_of(single, layer_groups(single, "head", ())) == [["body.weight", "body.bias"]]
