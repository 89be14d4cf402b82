"""What the families share: convolution with batch norm, channel shuffle, and the head."""

import torch
from torch import Tensor, nn


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
) -> list[nn.Module]:
    """Convolution without bias, batch norm and activation; the map keeps its size but for the stride."""
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return layers if activation is None else [*layers, activation()]


class ChannelShuffle(nn.Module):
    """Deal the channels of each group out over all groups (ShuffleNet, section 3.1)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """Float `[B, C, H, W]` to the same shape; channel `i·C/groups + j` goes to `j·groups + i`."""
        return x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)


class PooledClassifier(nn.Module):
    """Feature map, global average pooling, one linear layer: class activation maps exist.

    Args:
        features: float `[B, 3, H, W]` to the last map `[B, channels, h, w]`.
        channels: of the last map.
        classes: K.
    """

    def __init__(self, features: nn.Sequential, channels: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.linear = nn.Linear(channels, classes)
        he_initialise(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Float `[B, 3, H, W]` to the last feature map `[B, C, h, w]`."""
        return self.features(x)

    def forward(self, x: Tensor) -> Tensor:
        """Float `[B, 3, H, W]` to logits `[B, K]`."""
        return self.linear(torch.mean(self.forward_features(x), dim=(2, 3)))


def he_initialise(network: nn.Module) -> None:
    """He et al., "Delving Deep into Rectifiers" (ICCV 2015), equation 10, by the number of inputs."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
