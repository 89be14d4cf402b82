"""Any classifier as a distillation method wants it: normalised input, logits, feature maps and classifier.

Nothing of a network is rewritten: `pipeline.models.probe` finds what is worth a tap, and hooks take it.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from pipeline.models.depth import layer_groups
from pipeline.models.outputs import NetworkOutput
from pipeline.models.probe import probe
from pipeline.models.resizing import resize_images


class TappedNetwork(nn.Module):
    """A classifier with its last feature map and its classifier at hand.

    Args:
        network: maps normalised images `[B, 3, S, S]` to logits `[B, K]`.
        mean, std: three numbers each, for images in `[0, 1]`.
        image_size: the side S that the network sees; images of another size are resized to it.
        classifier: the name of the linear layer that gives the logits, such as `fc`; None to search for it.
        section: of the recipe, for messages about `classifier`.

    Attributes:
        image_size: S.
        shape: what the probe found, a `NetworkShape`.
        tap_stages: whether `forward` fills `NetworkOutput.stage_maps`; off at first, because only some methods want
            them.

    Raises:
        UsageError: `classifier` names no linear layer that gives the logits.

    Example:
        >>> tapped = TappedNetwork(resnet18(num_classes=10), mean, std, image_size=64)
        >>> output = tapped(torch.rand(2, 3, 64, 64))
        >>> output.feature_map.shape, output.logits.shape
        (torch.Size([2, 512, 2, 2]), torch.Size([2, 10]))
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        image_size: int,
        classifier: str | None = None,
        section: str = "network",
    ) -> None:
        super().__init__()
        self.network = network
        self.image_size = image_size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.tap_stages = False
        self._captured: dict[str, Tensor] = {}
        probed = probe(network, image_size, classifier, section)
        self.shape = probed.shape
        self._classifier_name = probed.classifier
        self._stage_names = probed.stages
        # The last stage is the feature map itself where there is one of its size.
        self._stages = tuple("feature_map" if name == probed.feature_map else name for name in probed.stages)
        if probed.classifier is not None:
            network.get_submodule(probed.classifier).register_forward_pre_hook(self._capture_input)
        if probed.feature_map is not None:
            network.get_submodule(probed.feature_map).register_forward_hook(self._capture_output)
        for name in self._stages:
            if name != "feature_map":
                network.get_submodule(name).register_forward_hook(partial(self._capture_stage, name))

    def _capture_input(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._captured["pooled"] = inputs[0]

    def _capture_output(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._captured["feature_map"] = output

    def _capture_stage(self, name: str, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
        if not self.tap_stages:
            return None
        # What follows may work in place, and so gets a copy; the logits still follow from the map that is kept.
        self._captured[name] = output
        return output.clone()

    def forward(self, images: Tensor) -> NetworkOutput:
        """Images `[B, 3, H, W]`, float in `[0, 1]`, to a `NetworkOutput`; `resize_images` brings other sizes to S."""
        logits = self.network((resize_images(images, self.image_size) - self.mean) / self.std)
        captured, self._captured = self._captured, {}
        feature_map = captured.get("feature_map")
        pooled = captured.get("pooled", logits)
        stage_maps = tuple(captured[name] for name in self._stages) if self.tap_stages else ()
        if feature_map is not None:
            # Drop-out may stand between pooling and classifier; methods want the features themselves.
            pooled = feature_map.mean(dim=(2, 3))
        weight, bias = self.classifier
        return NetworkOutput(
            logits=logits,
            pooled=pooled,
            feature_map=feature_map,
            classifier_weight=weight,
            classifier_bias=bias,
            stage_maps=stage_maps,
        )

    @property
    def classifier(self) -> tuple[Tensor | None, Tensor | None]:
        """Weight `[K, C]` and bias `[K]` of the classifier; None where there are no class activation maps."""
        if not self.shape.has_cam or self._classifier_name is None:
            return None, None
        classifier = self.network.get_submodule(self._classifier_name)
        return classifier.weight, classifier.bias  # type: ignore[return-value]

    def layers(self) -> list[list[nn.Parameter]]:
        """The network's parameters but those of its classifier, in groups from its first layers to its last."""
        return layer_groups(self.network, self._classifier_name, self._stage_names)
