"""MobileNetV2 for 32-pixel images.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (CVPR 2018), tables 1 and 2, at width 0.5 but
for the last convolution (section 6.1). For small images the bottlenecks with 24 channels keep the resolution, so that
the last map has a sixteenth of the image's side. The first bottleneck has its 1x1 expansion although the factor is 1,
as table 1 reads and the parameter counts of the distillation literature include (Tian et al., ICLR 2020).
"""

from torch import Tensor, nn

from exporters.student.architectures.cifar.layers import PooledClassifier, convolution

_GROUPS = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels at width 1, blocks, stride of the first block: table 2, but stride 1 for the 24 channels."""

_LAST = 1280


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise convolution, linear 1x1 projection; a shortcut where the shape stays."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.branch = nn.Sequential(
            *convolution(in_channels, inner, 1, activation=nn.ReLU6),
            *convolution(inner, inner, 3, stride, groups=inner, activation=nn.ReLU6),
            *convolution(inner, out_channels, 1, activation=None),
        )
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Float `[B, C, H, W]` to `[B, C_out, ceil(H/stride), ceil(W/stride)]`."""
        y = self.branch(x)
        return x + y if self.residual else y


def build_mobilenet(_name: str, classes: int) -> PooledClassifier:
    """Build `mobilenet_v2` at width 0.5."""
    channels = 32 // 2
    features = nn.Sequential(*convolution(3, channels, 3, 2, activation=nn.ReLU6))
    for expansion, full_width, blocks, stride in _GROUPS:
        width = full_width // 2
        for index in range(blocks):
            features.append(InvertedResidual(channels, width, stride if index == 0 else 1, expansion))
            channels = width
    features.extend(convolution(channels, _LAST, 1, activation=nn.ReLU6))
    return PooledClassifier(features, _LAST, classes)
