"""Class activation maps of a student in PyTorch.

Zhou et al., "Learning Deep Features for Discriminative Localization" (CVPR 2016), equation 2: `M_k(x, y) = Σ_c w_kc ·
f_c(x, y)`, for a network that pools its last map f by its mean and classifies it by one linear layer w.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from exporters.core.errors import UsageError
from exporters.student.taps import pooled_map, record_calls

WITHOUT = (
    "has no class activation maps: they take a last feature map of more than one pixel whose mean goes into one linear"
    " classifier"
)
"""Of a network, in messages."""

WITH = "torchvision:mobilenet_v2, torchvision:resnet18, timm:efficientnet_lite0"
"""Networks that have them, for remedies."""


@dataclass(frozen=True)
class CamLayers:
    """The layers that class activation maps are made of, by their names in the network.

    Attributes:
        feature_map: the module whose output is pooled into the classifier.
        classifier: the linear layer that gives the logits.
        map_size: height and width of the map.
    """

    feature_map: str
    classifier: str
    map_size: tuple[int, int]


def find_cam_layers(network: nn.Module, size: int) -> CamLayers:
    """The layers of a network, found on numbers: the spatial mean of the map is what the classifier takes.

    Args:
        network: maps normalised images `[B, 3, S, S]` to logits `[B, K]`.
        size: S.

    Raises:
        UsageError: it has no class activation maps.
    """
    recorded = record_calls(network, size, "the network", remedy="Export it without class activation maps.")
    if recorded.classifiers:
        name, features = recorded.classifiers[-1]
        found = pooled_map(recorded.calls, features)
        if found is not None:
            return CamLayers(found.name, name, (found.shape[2], found.shape[3]))
    raise UsageError(f"the network {WITHOUT}", remedy=f"Networks that have them: {WITH}.")


def cam_of_answers(network: nn.Module, layers: CamLayers, run: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """Logits `[B, K]`, and the class activation map of each image's most likely class `[B, h, w]`.

    The mean of a map, plus the class's bias, is the largest logit.

    Args:
        network: which `layers` are of.
        run: calls the network once, and gives its logits.
    """
    captured: list[Tensor] = []
    module = network.get_submodule(layers.feature_map)
    handle = module.register_forward_hook(lambda _module, _inputs, output: captured.append(output))
    try:
        logits = run()
    finally:
        handle.remove()
    classifier = network.get_submodule(layers.classifier)
    assert isinstance(classifier, nn.Linear)
    rows = classifier.weight[logits.argmax(dim=1)]
    return logits, torch.einsum("bc,bchw->bhw", rows, captured[-1])
