"""Class activation maps against equation 2 of Zhou et al. 2016, by numpy."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from exporters.core.errors import UsageError  # noqa: E402
from exporters.runtimes import TorchRuntime  # noqa: E402
from exporters.student.cam import cam_of_answers, find_cam_layers  # noqa: E402
from tests.exporters.conftest import Exported  # noqa: E402


def by_hand(exported: Exported, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits `[N, K]` and the maps of the answers `[N, h, w]` in float64, location by location."""
    module, preprocessing = exported.student.module, exported.student.preprocessing
    x = (images.astype(np.float32) / 255 - preprocessing.mean) / preprocessing.std
    with torch.no_grad():
        features = module.forward_features(torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2)).double().numpy()
    weight, bias = (value.detach().double().numpy() for value in (module.linear.weight, module.linear.bias))
    logits = features.mean(axis=(2, 3)) @ weight.T + bias
    maps = np.zeros((len(images), *features.shape[2:]))
    for index, answer in enumerate(logits.argmax(axis=1)):
        for row, column in np.ndindex(*maps.shape[1:]):
            maps[index, row, column] = weight[answer] @ features[index, :, row, column]
    return logits, maps


def test_map_is_the_classifier_at_each_location(cifar: Exported) -> None:
    found = TorchRuntime(cifar.student).explain(cifar.images)
    logits, maps = by_hand(cifar, cifar.images)
    np.testing.assert_allclose(found.cam, maps, atol=1e-5 * np.abs(maps).max())
    np.testing.assert_array_equal(found.logits, cifar.logits)
    bias = cifar.student.module.linear.bias.detach().numpy()
    largest = found.cam.mean(axis=(1, 2)) + bias[logits.argmax(axis=1)]
    np.testing.assert_allclose(largest, logits.max(axis=1), rtol=1e-4)


def test_layers_are_found_and_leave_the_network_as_it_was(cifar: Exported) -> None:
    module = cifar.student.module
    layers = find_cam_layers(module, 32)
    assert layers.classifier == "linear" and layers.map_size == (8, 8)
    assert not any(part._forward_hooks for part in module.modules())
    with pytest.raises(ValueError, match="planted"):
        cam_of_answers(module, layers, lambda: (_ for _ in ()).throw(ValueError("planted")))
    assert not any(part._forward_hooks for part in module.modules())


class _TwoLayers(nn.Module):
    """As MobileNetV3: a layer and an activation stand between pooling and classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.hidden, self.classifier = nn.Conv2d(3, 4, 3), nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.classifier(self.hidden(self.features(x).mean(dim=(2, 3))).relu())


class _OnePixel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features, self.classifier = nn.Conv2d(3, 4, 8), nn.Linear(4, 3)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


@pytest.mark.parametrize("network", [_TwoLayers(), _OnePixel(), nn.Sequential(nn.Flatten(), nn.Linear(192, 3))])
def test_networks_without_one_linear_layer_on_a_pooled_map_are_refused(network: nn.Module) -> None:
    with pytest.raises(UsageError, match="has no class activation maps: they take a last feature map") as caught:
        find_cam_layers(network.eval(), 8)
    assert caught.value.remedy is not None and "mobilenet_v2" in caught.value.remedy
