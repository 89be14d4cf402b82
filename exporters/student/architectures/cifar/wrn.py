"""Wide residual networks for 32-pixel images.

Zagoruyko and Komodakis, "Wide Residual Networks" (BMVC 2016), table 1: WRN-d-k has a 3x3 convolution to 16 channels and
three groups of (d-4)/6 basic blocks with 16k, 32k and 64k channels at full, half and quarter resolution. Batch norm and
ReLU come before each convolution, and once more before global average pooling. No drop-out.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from exporters.student.architectures.cifar.layers import PooledClassifier


class PreActivationBlock(nn.Module):
    """Two 3x3 convolutions, each behind batch norm and ReLU, with a shortcut around them.

    A shortcut that changes shape is a 1x1 convolution of the activated input (He et al., "Identity Mappings in Deep
    Residual Networks", ECCV 2016).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Float `[B, C, H, W]` to `[B, C_out, ceil(H/stride), ceil(W/stride)]`."""
        y = F.relu(self.bn1(x))
        beside = x if self.shortcut is None else self.shortcut(y)
        return self.conv2(F.relu(self.bn2(self.conv1(y)))) + beside


def build_wrn(name: str, classes: int) -> PooledClassifier:
    """Build `wrn-<depth>-<factor>`; the last map has a quarter of the image's side."""
    depth, factor = (int(number) for number in name.split("-")[1:])
    features = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False))
    channels = 16
    for width, stride in ((16 * factor, 1), (32 * factor, 2), (64 * factor, 2)):
        group = nn.Sequential()
        for index in range((depth - 4) // 6):
            group.append(PreActivationBlock(channels, width, stride if index == 0 else 1))
            channels = width
        features.append(group)
    features.extend([nn.BatchNorm2d(channels), nn.ReLU()])
    return PooledClassifier(features, channels, classes)
