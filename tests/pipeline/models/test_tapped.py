import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from exporters.student.architectures import Architecture, build, resolve
from pipeline.models.tapped import TappedNetwork

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
CLASSES = 7
WITH_CAM = [
    ("torchvision:resnet18", 64),
    ("torchvision:mobilenet_v2", 64),
    ("torchvision:densenet121", 64),  # its last ReLU is functional and in place
    ("torchvision:shufflenet_v2_x0_5", 64),
    ("torchvision:mnasnet0_5", 64),
    ("torchvision:regnet_x_400mf", 64),
    ("timm:resnet10t", 64),
    ("timm:mobilenetv2_050", 64),
    ("timm:efficientnet_lite0", 64),
    ("cifar:resnet8", 32),
    ("cifar:resnet8x4", 32),
    ("cifar:wrn-16-2", 32),
    ("cifar:wrn-40-1", 32),
    ("cifar:wrn-40-2", 32),
    ("cifar:vgg8", 32),
    ("cifar:vgg13", 32),
    ("cifar:mobilenet_v2", 32),
    ("cifar:shufflenet_v1", 32),
    ("cifar:shufflenet_v2", 32),
]


class SmallVgg(nn.Module):
    """Two linear layers on a flattened map, as VGG has them."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(inplace=True))
        self.classifier = nn.Sequential(nn.Linear(8 * 16, 12), nn.ReLU(True), nn.Dropout(), nn.Linear(12, CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(images), 4).flatten(1))


class InPlace(nn.Module):
    """The map is changed in place after the last module, and drop-out follows the pooling."""

    def __init__(self, inplace: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, 2, 1)
        self.bn = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.5, inplace=inplace)
        self.head = nn.Linear(6, CLASSES)
        self.inplace = inplace

    def forward(self, images: Tensor) -> Tensor:
        pooled = F.relu(self.bn(self.conv(images)), inplace=self.inplace).mean((2, 3))
        return self.head(self.drop(pooled))


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    source, bare = resolve(name)
    return build(Architecture(bare, source), CLASSES)


def images_of(size: int, count: int = 3, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def small(inplace: bool = True) -> TappedNetwork:
    torch.manual_seed(3)
    return TappedNetwork(InPlace(inplace), MEAN, STD, 16)


@pytest.mark.parametrize(("name", "size"), WITH_CAM)
def test_the_pooled_map_through_the_classifier_is_the_logits(name: str, size: int):
    network = make(name).double().eval()
    tapped = TappedNetwork(network, MEAN, STD, size).double()
    images = images_of(size).double()
    with torch.no_grad():
        output = tapped(images)
        mean, std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (MEAN, STD))
        plain = copy.deepcopy(network)((images - tapped.mean) / tapped.std)
        torch.testing.assert_close((tapped.mean, tapped.std), (mean, std), rtol=1e-6, atol=0)
    assert output.feature_map is not None
    torch.testing.assert_close(output.logits, plain, rtol=0, atol=0)
    pooled = output.feature_map.numpy().mean(axis=(2, 3))
    logits = pooled @ output.classifier_weight.detach().numpy().T + output.classifier_bias.detach().numpy()
    torch.testing.assert_close(torch.from_numpy(logits), output.logits, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(output.pooled, torch.from_numpy(pooled), rtol=1e-9, atol=1e-9)
    shape = tapped.shape
    assert (shape.classes, shape.has_cam) == (CLASSES, True)
    assert output.feature_map.shape[1:] == (shape.channels, *shape.map_size)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("torchvision:mobilenet_v3_small", 64),
        ("torchvision:squeezenet1_1", 64),
        ("timm:convnext_atto", 64),
        ("timm:vit_tiny_patch16_224", 224),
        ("torchvision:resnet18", 32),  # the last map has one pixel
        ("small vgg", 32),
    ],
)
def test_nets_without_class_activation_maps_give_no_feature_map(name: str, size: int):
    network = SmallVgg() if name == "small vgg" else make(name)
    tapped = TappedNetwork(network, MEAN, STD, size).eval()
    assert not tapped.shape.has_cam
    assert tapped.shape.map_size is None
    with torch.no_grad():
        output = tapped(images_of(size, count=1))
    assert output.feature_map is None
    assert output.classifier_weight is None
    assert output.classifier_bias is None
    assert output.pooled.shape == (1, tapped.shape.channels)
    if tapped.shape.channels != CLASSES:  # a linear classifier, on features that are no pooled map
        classifier = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
        torch.testing.assert_close(classifier(output.pooled), output.logits)


@pytest.mark.parametrize("name", ["cifar:resnet8", "timm:resnet10t"])
def test_wrapping_changes_nothing_of_the_network(name: str):
    network = make(name)
    network.train()
    frozen = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    random_state = torch.get_rng_state()
    tapped = TappedNetwork(network, MEAN, STD, 32)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [module.training for module in network.modules()] == modes
    assert not frozen.training
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert list(tapped.state_dict()) == [f"network.{key}" for key in before]


@pytest.mark.parametrize("training", [True, False])
def test_in_place_layers_give_the_map_that_is_pooled_with_its_gradient(training: bool):
    images = images_of(16)
    gradients, maps = [], []
    for inplace in (True, False):
        tapped = small(inplace).train(training)
        if inplace:
            output = tapped(images)
            feature_map = output.feature_map
        else:  # the same by hand, out of place
            network = tapped.network
            feature_map = F.relu(network.bn(network.conv((images - tapped.mean) / tapped.std)))
        assert feature_map is not None
        feature_map.square().sum().backward()
        maps.append(feature_map.detach())
        gradients.append(tapped.network.conv.weight.grad)
    assert (maps[0] >= 0).all()
    torch.testing.assert_close(*maps)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0


def test_features_are_those_before_drop_out():
    tapped = TappedNetwork(InPlace(), MEAN, STD, 16).train()
    tapped.network.drop.p = 0.9
    torch.manual_seed(0)
    output = tapped(images_of(16, count=8))
    assert output.feature_map is not None
    torch.testing.assert_close(output.pooled, output.feature_map.mean((2, 3)), rtol=0, atol=0)
    assert (output.pooled > 0).double().mean() > 0.9  # nine tenths would be 0 after it
    without = output.pooled @ output.classifier_weight.T + output.classifier_bias
    assert not torch.allclose(without, output.logits, atol=1e-3)


def test_gradient_flows_through_the_map_and_not_into_the_classifier():
    tapped = TappedNetwork(make("cifar:resnet8"), MEAN, STD, 32).train()
    output = tapped(images_of(32))
    assert output.feature_map is not None
    output.feature_map.square().mean().backward()
    assert tapped.network.conv1.weight.grad.abs().max() > 0
    assert tapped.network.linear.weight.grad is None
    assert output.classifier_weight is tapped.network.linear.weight


def test_two_forwards_do_not_mix():
    tapped = small().eval()
    one, two = images_of(16, seed=1), images_of(16, seed=2)
    first, second = tapped(one), tapped(two)
    for images, output in ((one, first), (two, second)):
        alone = small().eval()(images)
        torch.testing.assert_close(output.feature_map, alone.feature_map, rtol=0, atol=0)
        torch.testing.assert_close(output.pooled, alone.pooled, rtol=0, atol=0)
    assert not torch.allclose(first.feature_map, second.feature_map)


def test_a_failed_forward_leaves_nothing_behind():
    tapped = small().eval()
    handle = tapped.network.head.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tapped(images_of(16, count=5))
    handle.remove()
    output = tapped(images_of(16))
    assert output.feature_map is not None
    assert len(output.feature_map) == len(output.pooled) == 3


def test_a_copy_has_taps_of_its_own():
    tapped = small().eval()
    twin = copy.deepcopy(tapped)
    with torch.no_grad():
        twin.network.head.weight.zero_()
        twin.network.bn.bias.fill_(50)
    images = images_of(16)
    assert twin(images).feature_map.min() > 30
    torch.testing.assert_close(tapped(images).feature_map, small().eval()(images).feature_map, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["cifar:resnet8", "torchvision:mobilenet_v2"])
def test_autocast_and_channels_last_keep_the_outputs(name: str):
    tapped = TappedNetwork(make(name), MEAN, STD, 64).eval()
    images = images_of(64)
    with torch.no_grad():
        plain = tapped(images)
        laid_out = tapped.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            mixed = tapped(images)
    assert plain.feature_map is not None
    torch.testing.assert_close(laid_out.feature_map, plain.feature_map, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(laid_out.logits, plain.logits, rtol=1e-4, atol=1e-5)
    assert mixed.feature_map.dtype == mixed.logits.dtype == torch.bfloat16
    scale = plain.feature_map.abs().max()
    torch.testing.assert_close(mixed.feature_map.float() / scale, plain.feature_map / scale, rtol=0, atol=0.05)
    logits = mixed.pooled.float() @ mixed.classifier_weight.T + mixed.classifier_bias
    torch.testing.assert_close(mixed.logits.float(), logits, rtol=0.02, atol=0.02 * logits.abs().max().item())


def test_feature_map_is_found_in_another_dtype():
    tapped = TappedNetwork(InPlace().to(torch.bfloat16), MEAN, STD, 16)
    assert tapped.shape.has_cam
    assert tapped.shape.map_size == (8, 8)


@pytest.mark.parametrize("size", [(32, 32), (20, 28), (64, 64)])
def test_images_of_another_size_are_resized_to_its_own(size: tuple[int, int]):
    tapped = TappedNetwork(make("cifar:resnet8"), MEAN, STD, 48).eval()
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(2))
    bands = [
        [np.asarray(Image.fromarray(band.numpy()).resize((48, 48), Image.Resampling.BICUBIC)) for band in image]
        for image in images
    ]
    with torch.no_grad():
        output = tapped(images)
        expected = tapped(torch.from_numpy(np.asarray(bands)).clamp(0, 1))
    assert tapped.image_size == 48
    assert tapped.shape.map_size == (12, 12)
    assert output.feature_map.shape == (2, 64, 12, 12)
    torch.testing.assert_close(output.logits, expected.logits, rtol=1e-3, atol=1e-4)
    pooled = output.feature_map.mean(dim=(2, 3)) @ output.classifier_weight.T + output.classifier_bias
    torch.testing.assert_close(pooled, output.logits)


def test_fixed_size_network_takes_images_of_any_size():
    source, bare = resolve("timm:test_vit")
    network = build(Architecture(bare, source, {"img_size": 48, "patch_size": 8}), CLASSES)
    assert TappedNetwork(network, MEAN, STD, 48).eval()(images_of(32)).logits.shape == (3, CLASSES)
