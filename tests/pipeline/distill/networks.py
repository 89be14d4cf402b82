"""Random outputs of a student and a teacher for tests of the methods."""

import torch
from torch import Tensor

from pipeline.distill.loss_settings import LossSettings, resolve_losses
from pipeline.distill.settings import DistillSettings
from pipeline.models.outputs import NetworkOutput, NetworkShape


def network_output(
    seed: int,
    images: int,
    classes: int,
    channels: int,
    size: tuple[int, int] = (3, 4),
    *,
    dtype: torch.dtype = torch.float32,
    learns: bool = False,
) -> NetworkOutput:
    """A network whose logits are those of its map, pooled; leaves are the maps and the classifier.

    It has three stages; the last one's map is the feature map.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(dtype).requires_grad_(learns)

    maps, weight, bias = draw(images, channels, *size), draw(classes, channels), draw(classes)
    pooled = maps.mean(dim=(2, 3))
    sides = [(factor * size[0], factor * size[1]) for factor in (4, 2)]
    stages = [draw(images, width, *side) for width, side in zip((channels + 2, channels + 1), sides, strict=True)]
    return NetworkOutput(pooled @ weight.T + bias, pooled, maps, weight, bias, (*stages, maps))


def extreme_output(seed: int, images: int, classes: int, channels: int, dtype: torch.dtype) -> NetworkOutput:
    """Logits of ±1e4 and features around them; they need not belong together. The student's leaves are all of them."""
    drawn = network_output(seed, images, classes, channels)
    signs = torch.randint(0, 2, drawn.logits.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    scaled = [1e4 * x for x in (signs, drawn.pooled, *drawn.stage_maps)]
    logits, pooled, *maps = (x.clamp(-6e4, 6e4).to(dtype).requires_grad_() for x in scaled)
    weight, bias = drawn.classifier_weight, drawn.classifier_bias
    assert weight is not None and bias is not None
    return NetworkOutput(logits, pooled, maps[-1], weight.to(dtype), bias.to(dtype), tuple(maps))


def shape_of(output: NetworkOutput, has_cam: bool = True) -> NetworkShape:
    size = None if output.feature_map is None else (output.feature_map.shape[2], output.feature_map.shape[3])
    stages = tuple((maps.shape[1], maps.shape[2], maps.shape[3]) for maps in output.stage_maps)
    return NetworkShape(output.logits.shape[1], output.pooled.shape[1], size, has_cam, stages=stages)


def labels_of(seed: int, images: int, classes: int) -> Tensor:
    return torch.randint(0, classes, (images,), generator=torch.Generator().manual_seed(seed + 1))


def loss_settings(**sections: dict[str, object]) -> LossSettings:
    """The settings of the losses, such as `loss_settings(logits={"weight": 2.0})`; weights that are not given are 0."""
    weights = {name: {"weight": 0.0, **sections.get(name, {})} for name in ("ce", "feature", "logits", "contrast")}
    return resolve_losses(
        DistillSettings.model_validate({"method": "tmkd", "base": "kd", "balance": "none", **weights})
    )
