"""Random outputs of a student and a teacher for tests of the methods."""

import torch
from torch import Tensor

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
    """A network whose logits are those of its map, pooled; leaves are the map and the classifier."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(dtype).requires_grad_(learns)

    maps, weight, bias = draw(images, channels, *size), draw(classes, channels), draw(classes)
    pooled = maps.mean(dim=(2, 3))
    return NetworkOutput(pooled @ weight.T + bias, pooled, maps, weight, bias)


def shape_of(output: NetworkOutput, has_cam: bool = True) -> NetworkShape:
    size = None if output.feature_map is None else (output.feature_map.shape[2], output.feature_map.shape[3])
    return NetworkShape(output.logits.shape[1], output.pooled.shape[1], size, has_cam)


def labels_of(seed: int, images: int, classes: int) -> Tensor:
    return torch.randint(0, classes, (images,), generator=torch.Generator().manual_seed(seed + 1))
