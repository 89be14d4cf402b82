"""Any classifier as a distillation method wants it: normalised input, logits, last feature map and classifier.

Nothing of a network is rewritten. A probe pass finds the linear classifier and the map that is pooled into it, and
proves the find on numbers: the classifier's output must be the logits, its input the spatial mean of the map.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.models.outputs import NetworkOutput, NetworkShape
from pipeline.models.resizing import resize_images


class TappedNetwork(nn.Module):
    """A classifier with its last feature map and its classifier at hand.

    Args:
        network: maps normalised images `[B, 3, S, S]` to logits `[B, K]`.
        mean, std: three numbers each, for images in `[0, 1]`.
        image_size: the side S that the network sees; images of another size are resized to it.

    Attributes:
        image_size: S.
        shape: what the probe found, a `NetworkShape`.

    Example:
        >>> tapped = TappedNetwork(resnet18(num_classes=10), mean, std, image_size=64)
        >>> output = tapped(torch.rand(2, 3, 64, 64))
        >>> output.feature_map.shape, output.logits.shape
        (torch.Size([2, 512, 2, 2]), torch.Size([2, 10]))
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float], image_size: int) -> None:
        super().__init__()
        self.network = network
        self.image_size = image_size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self._captured: dict[str, Tensor] = {}
        map_name, self._classifier_name, self.shape = _probe(network, image_size)
        if self._classifier_name is not None:
            network.get_submodule(self._classifier_name).register_forward_pre_hook(self._capture_input)
        if map_name is not None:
            network.get_submodule(map_name).register_forward_hook(self._capture_output)

    def _capture_input(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._captured["pooled"] = inputs[0]

    def _capture_output(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._captured["feature_map"] = output

    def forward(self, images: Tensor) -> NetworkOutput:
        """Images `[B, 3, H, W]`, float in `[0, 1]`, to a `NetworkOutput`; `resize_images` brings other sizes to S."""
        logits = self.network((resize_images(images, self.image_size) - self.mean) / self.std)
        feature_map = self._captured.pop("feature_map", None)
        pooled = self._captured.pop("pooled", logits)
        if feature_map is not None:
            # Drop-out may stand between pooling and classifier; methods want the features themselves.
            pooled = feature_map.mean(dim=(2, 3))
        weight, bias = self.classifier
        return NetworkOutput(
            logits=logits, pooled=pooled, feature_map=feature_map, classifier_weight=weight, classifier_bias=bias
        )

    @property
    def classifier(self) -> tuple[Tensor | None, Tensor | None]:
        """Weight `[K, C]` and bias `[K]` of the classifier; None where there are no class activation maps."""
        if not self.shape.has_cam or self._classifier_name is None:
            return None, None
        classifier = self.network.get_submodule(self._classifier_name)
        return classifier.weight, classifier.bias  # type: ignore[return-value]


def _probe(network: nn.Module, image_size: int) -> tuple[str | None, str | None, NetworkShape]:
    """Run two random images through and find (name of the feature map's module, name of the classifier, shape)."""
    maps: list[tuple[str, Tensor]] = []
    linears: list[tuple[str, Tensor, Tensor]] = []

    def record(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        if not isinstance(output, Tensor):
            return
        if output.ndim == 4 and name:
            maps.append((name, output))
        if isinstance(module, nn.Linear) and output.ndim == 2:
            linears.append((name, inputs[0], output))

    modes = {module: module.training for module in network.modules()}
    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: record(name, m, i, o))
        for name, module in network.named_modules()
    ]
    parameter = next(network.parameters())
    random = torch.Generator(parameter.device).manual_seed(0)
    images = torch.randn(2, 3, image_size, image_size, device=parameter.device, generator=random)
    try:
        with torch.no_grad():
            logits = network.eval()(images.to(parameter.dtype))
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training

    classes = logits.shape[1]
    for name, features, output in reversed(linears):
        if output.shape == logits.shape and torch.equal(output, logits):
            map_name, map_size = _pooled_map(maps, features)
            shape = NetworkShape(classes, features.shape[1], map_size, has_cam=map_name is not None)
            return map_name, name, shape
    return None, None, NetworkShape(classes, classes, None, has_cam=False)


def _pooled_map(maps: list[tuple[str, Tensor]], features: Tensor) -> tuple[str | None, tuple[int, int] | None]:
    """The latest map with an extent whose spatial mean is the classifier's input.

    A map of 1×1 stands behind the pooling (mobilenet_v3, convnext) or is too small to hold class activation maps.
    """
    tolerance = 1e-4 * features.abs().max().item() + 1e-7
    for name, feature_map in reversed(maps):
        channels, height, width = feature_map.shape[1:]
        if channels != features.shape[1] or height * width == 1:
            continue
        if (feature_map.mean(dim=(2, 3)) - features).abs().max().item() <= tolerance:
            return name, (height, width)
    return None, None
