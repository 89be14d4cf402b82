import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exporters.core.errors import UsageError
from exporters.student.architectures import Architecture, build, resolve
from pipeline.models.probe import probe
from pipeline.models.tapped import TappedNetwork

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
CLASSES = 7
STAGES = {
    ("cifar:resnet20", 32): [(16, 32), (32, 16), (64, 8)],
    ("cifar:wrn-40-2", 32): [(32, 32), (64, 16), (128, 8)],
    ("cifar:vgg8", 32): [(64, 32), (128, 16), (256, 8), (512, 4)],
    ("cifar:mobilenet_v2", 32): [(12, 16), (16, 8), (48, 4), (1280, 2)],
    ("cifar:shufflenet_v1", 32): [(24, 32), (240, 16), (480, 8), (960, 4)],
    ("cifar:shufflenet_v2", 32): [(24, 32), (116, 16), (232, 8), (1024, 4)],
    ("torchvision:resnet18", 64): [(64, 16), (128, 8), (256, 4), (512, 2)],
    ("torchvision:resnet50", 64): [(256, 16), (512, 8), (1024, 4), (2048, 2)],  # the stride is inside the blocks
    ("torchvision:mobilenet_v2", 64): [(24, 16), (32, 8), (96, 4), (1280, 2)],
    ("torchvision:mobilenet_v3_small", 64): [(16, 16), (24, 8), (48, 4), (576, 2)],  # no class activation maps
    ("torchvision:densenet121", 64): [(256, 16), (512, 8), (1024, 4), (1024, 2)],
    ("torchvision:vgg11", 64): [(256, 16), (512, 8), (512, 4), (512, 2)],  # pooled to 7×7 behind its maps
    ("torchvision:squeezenet1_1", 64): [(64, 31), (128, 15), (256, 7), (CLASSES, 3)],  # no linear classifier
    ("timm:resnet10t", 64): [(64, 16), (128, 8), (256, 4), (512, 2)],
    ("timm:convnext_atto", 64): [(40, 16), (80, 8), (160, 4), (320, 2)],
    ("timm:mobilevit_xxs", 64): [(24, 16), (48, 8), (64, 4), (320, 2)],  # tokens on the way
    ("timm:vit_tiny_patch16_224", 224): [],
    ("timm:swin_tiny_patch4_window7_224", 224): [],
    ("timm:levit_128s", 224): [],  # its maps are the stem of a net of tokens
}


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    source, bare = resolve(name)
    return build(Architecture(bare, source), CLASSES)


def images_of(size: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "size"), STAGES)
def test_stages_are_the_last_maps_of_each_size_on_the_way_down(name: str, size: int) -> None:
    tapped = TappedNetwork(make(name), MEAN, STD, size).eval()
    assert [(channels, height) for channels, height, _ in tapped.shape.stages] == STAGES[name, size]
    assert all(height == width for _, height, width in tapped.shape.stages)
    with torch.no_grad():
        assert tapped(images_of(size)).stage_maps == ()
        tapped.tap_stages = True
        output = tapped(images_of(size))
    assert tuple(tuple(maps.shape[1:]) for maps in output.stage_maps) == tapped.shape.stages
    assert all(maps.isfinite().all() and maps.std() > 0 for maps in output.stage_maps)
    if output.feature_map is not None:
        assert output.stage_maps[-1] is output.feature_map


def test_stages_are_the_outputs_of_whole_stages() -> None:
    assert probe(make("torchvision:resnet50"), 64).stages == ("layer1", "layer2", "layer3", "layer4")
    assert probe(make("cifar:wrn-40-2"), 32).stages == ("features.1", "features.2", "features")
    assert probe(make("timm:resnet10t"), 64).stages == ("layer1", "layer2", "layer3", "layer4")
    network = make("cifar:resnet8").eval()
    tapped = TappedNetwork(network, MEAN, STD, 32).eval()
    tapped.tap_stages = True
    images = images_of(32)
    with torch.no_grad():
        found = tapped(images).stage_maps
        x = F.relu(network.bn1(network.conv1((images - tapped.mean) / tapped.std)))
        for maps, layer in zip(found, (network.layer1, network.layer2, network.layer3), strict=True):
            x = layer(x)
            assert torch.equal(maps, x)


class InPlaceStages(nn.Module):
    """What follows a stage works in place on its map."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1)
        self.head = nn.Linear(6, CLASSES)
        self.inplace = inplace

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.first(images), inplace=self.inplace)
        x = F.relu(self.second(x), inplace=self.inplace)
        return self.head(x.square().mean((2, 3)))  # no class activation maps: the last stage is tapped like the others


@pytest.mark.parametrize("training", [True, False])
def test_later_in_place_layers_do_not_change_a_stage(training: bool) -> None:
    taken, gradients = [], []
    for inplace in (True, False):
        torch.manual_seed(0)
        network = InPlaceStages(inplace)
        tapped = TappedNetwork(network, MEAN, STD, 16).train(training)
        assert probe(network, 16).stages == ("first", "second")
        tapped.tap_stages = True
        output = tapped(images_of(16))
        sum(maps.square().sum() for maps in output.stage_maps).backward()
        taken.append([maps.detach() for maps in output.stage_maps])
        gradients.append(network.first.weight.grad)
    assert (taken[0][1] < 0).any()  # before the ReLU behind it
    torch.testing.assert_close(*taken, rtol=0, atol=0)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0


class Shared(nn.Module):
    """One activation for all, and a block that looks at a small copy of its map on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1), nn.Conv2d(5, 6, 3, 2, 1)])
        self.glance = nn.AvgPool2d(8)
        self.activation = nn.ReLU()
        self.head = nn.Linear(6, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = self.activation(self.convs[0](images))
        x = x * F.interpolate(self.glance(x), x.shape[2:]).sigmoid()
        x = self.activation(self.convs[1](x))
        return self.head(self.activation(self.convs[2](x)).mean((2, 3)))


def test_reused_modules_and_side_branches_are_no_stages() -> None:
    found = probe(Shared(), 32)
    # The last map is the one that is pooled, by whichever call.
    assert (found.stages, found.feature_map) == (("convs.0", "convs.1", "activation"), "activation")
    assert found.shape.stages == ((4, 16, 16), (5, 8, 8), (6, 4, 4))


def test_a_copy_has_stages_of_its_own() -> None:
    tapped = TappedNetwork(make("cifar:resnet8"), MEAN, STD, 32).eval()
    tapped.tap_stages = True
    twin = copy.deepcopy(tapped)
    with torch.no_grad():
        twin.network.conv1.weight.zero_()
        images = images_of(32)
        assert twin.tap_stages
        theirs, ours = twin(images).stage_maps, tapped(images).stage_maps
        assert not torch.equal(theirs[0], ours[0])
        assert torch.equal(tapped(images).stage_maps[0], ours[0])


def test_a_network_of_one_size_of_maps_has_no_stages() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 7))
    assert probe(network, 16).stages == ()
    assert probe(network, 16).shape.has_cam


@pytest.mark.parametrize(
    ("name", "classifier"),
    [("torchvision:resnet18", "fc"), ("torchvision:mobilenet_v3_small", "classifier.3"), ("cifar:resnet8", "linear")],
)
def test_a_classifier_that_is_named_is_the_one_that_is_found(name: str, classifier: str) -> None:
    network = make(name)
    searched, named = probe(network, 64), probe(network, 64, classifier)
    assert searched == named
    assert named.classifier == classifier
    assert named.shape.has_classifier


@pytest.mark.parametrize(
    ("classifier", "problem"),
    [
        ("fc", "there is no such module"),
        ("classifier.1", "it is no linear layer but a Hardswish"),
        ("classifier.0", "what it gives are not the logits"),
    ],
)
def test_unknown_classifier_name_is_refused_with_the_linear_layers(classifier: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        TappedNetwork(make("torchvision:mobilenet_v3_small"), MEAN, STD, 64, classifier, "student")
    error = caught.value
    assert error.exit_code == 2
    assert error.message == f"student.classifier: {classifier!r} is not the network's classifier: {problem}"
    assert error.remedy is not None
    assert "classifier.0 (576 → 1024), classifier.3 (1024 → 7)" in error.remedy


def test_network_without_linear_layers_has_no_classifier() -> None:
    with pytest.raises(UsageError, match=r"classifier: 'classifier\.1' is not .* but a Conv2d") as caught:
        probe(make("torchvision:squeezenet1_1"), 64, "classifier.1", "teacher.visual")
    assert "Its last linear layers: none" in (caught.value.remedy or "")
    found = probe(make("torchvision:squeezenet1_1"), 64)
    assert (found.classifier, found.shape.has_classifier, found.shape.channels) == (None, False, CLASSES)
