"""ShuffleNets for 32-pixel images.

Version 1: Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices" (CVPR
2018), figure 2 and table 1 with 3 groups. Version 2: Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient
CNN Architecture Design" (ECCV 2018), figure 3 (c, d) and table 5 at 1x.

For small images a 1x1 convolution at full resolution takes the place of the stem's 3x3 with stride and of its
pooling, as the parameter counts of the distillation literature have it (Tian et al., ICLR 2020). The last map has an
eighth of the image's side.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exporters.student.architectures.cifar.layers import ChannelShuffle, PooledClassifier, convolution

_STEM = 24
_BLOCKS = (4, 8, 4)


class GroupedUnit(nn.Module):
    """Version 1: grouped 1x1, shuffle, depthwise 3x3 without ReLU, grouped 1x1.

    The input is added, or with stride 2 averaged and put before the result. The bottleneck has a quarter of the
    channels that the branch itself gives.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, groups: int) -> None:
        super().__init__()
        self.stride = stride
        branch = out_channels - in_channels if stride == 2 else out_channels
        inner = branch // 4
        self.branch = nn.Sequential(
            # The first of all sees too few channels to divide them (section 3.2).
            *convolution(in_channels, inner, 1, groups=1 if in_channels == _STEM else groups),
            ChannelShuffle(groups),
            *convolution(inner, inner, 3, stride, groups=inner, activation=None),
            *convolution(inner, branch, 1, groups=groups, activation=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Float `[B, C, H, W]` to `[B, C_out, ceil(H/stride), ceil(W/stride)]`."""
        y = self.branch(x)
        if self.stride == 1:
            return F.relu(x + y)
        return F.relu(torch.cat((F.avg_pool2d(x, 3, self.stride, 1), y), dim=1))


class SplitUnit(nn.Module):
    """Version 2: one half of the channels passes, the other goes through 1x1, depthwise 3x3, 1x1; then a shuffle.

    With stride 2 nothing is split: both branches see all channels, and the first is a depthwise 3x3 and a 1x1.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.split = stride == 1
        half = out_channels // 2
        seen = in_channels // 2 if self.split else in_channels
        self.branch = nn.Sequential(
            *convolution(seen, half, 1),
            *convolution(half, half, 3, stride, groups=half, activation=None),
            *convolution(half, half, 1),
        )
        self.beside = nn.Sequential()
        if not self.split:
            self.beside.extend(convolution(in_channels, in_channels, 3, stride, groups=in_channels, activation=None))
            self.beside.extend(convolution(in_channels, half, 1))
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        """Float `[B, C, H, W]` to `[B, C_out, ceil(H/stride), ceil(W/stride)]`."""
        left, right = x.chunk(2, dim=1) if self.split else (x, x)
        return self.shuffle(torch.cat((self.beside(left), self.branch(right)), dim=1))


def build_shufflenet(name: str, classes: int) -> PooledClassifier:
    """Build `shufflenet_v1` (3 groups) or `shufflenet_v2` (1x)."""
    first = name == "shufflenet_v1"
    features = nn.Sequential(*convolution(3, _STEM, 1))
    channels = _STEM
    for width, blocks in zip((240, 480, 960) if first else (116, 232, 464), _BLOCKS, strict=True):
        for index in range(blocks):
            stride = 2 if index == 0 else 1
            features.append(
                GroupedUnit(channels, width, stride, groups=3) if first else SplitUnit(channels, width, stride)
            )
            channels = width
    if not first:
        features.extend(convolution(channels, 1024, 1))
        channels = 1024
    return PooledClassifier(features, channels, classes)
