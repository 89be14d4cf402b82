"""Residual networks for 32-pixel images.

He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), section 4.2: a 3x3 convolution to 16 channels,
three groups of n basic blocks with 16, 32 and 64 channels at full, half and quarter resolution, global average pooling,
one linear layer; 6n+2 layers. Shortcuts that change shape are parameter-free (option A: every second pixel, new
channels are zero); as an argument, they are 1x1 convolutions with batch norm (option B). The `x4` nets of the
distillation literature (Tian et al., "Contrastive Representation Distillation", ICLR 2020) are four times wider (stem
of 32, groups of 64, 128, 256); published parameter counts for 100 classes (1.2 M and 7.4 M) include shortcuts of option
B. So do its counts for the narrow nets, 0.28 M for `resnet20`.

Modules are named `conv1 bn1 layer1.0.conv1 … linear`, as in the widely shared CIFAR checkpoints of option A.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exporters.student.architectures.cifar.layers import he_initialise


class PaddedShortcut(nn.Module):
    """Option A: subsample by the stride, then append zero channels, half before and half after."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        added = out_channels - in_channels
        self.padding = (added // 2, added - added // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Float `[B, C, H, W]` to `[B, C_out, ceil(H/stride), ceil(W/stride)]`."""
        # The same pixels; but the gradient of a slice is not channels last, which slows down everything before it.
        chosen = F.avg_pool2d(x, 1, self.stride) if self.training else x[:, :, :: self.stride, :: self.stride]
        return F.pad(chosen, (0, 0, 0, 0, *self.padding))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut around them."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module
        if stride == 1 and in_channels == out_channels:
            self.shortcut = nn.Identity()
        elif project:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        else:
            self.shortcut = PaddedShortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Float `[B, C, H, W]` to `[B, C_out, ceil(H/stride), ceil(W/stride)]`."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """The net of the module's docstring.

    Args:
        blocks: n, the blocks per group.
        stem: channels after the first convolution.
        widths: channels of the three groups.
        classes: K.
        project: shape-changing shortcuts are 1x1 convolutions (option B) rather than padding (option A).
    """

    def __init__(self, blocks: int, stem: int, widths: tuple[int, int, int], classes: int, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        inputs = (stem, *widths[:2])
        groups = [
            nn.Sequential(
                *(
                    BasicBlock(before if index == 0 else width, width, stride if index == 0 else 1, project)
                    for index in range(blocks)
                )
            )
            for before, width, stride in zip(inputs, widths, (1, 2, 2), strict=True)
        ]
        self.layer1, self.layer2, self.layer3 = groups
        self.linear = nn.Linear(widths[2], classes)
        he_initialise(self)

    def forward_features(self, x: Tensor) -> Tensor:
        """Float `[B, 3, H, W]` to the last feature map `[B, C, H/4, W/4]`."""
        x = F.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Float `[B, 3, H, W]` to logits `[B, K]`."""
        return self.linear(torch.mean(self.forward_features(x), dim=(2, 3)))


def build_resnet(name: str, classes: int, shortcut: str | None = None) -> CifarResNet:
    """Build `resnet<depth>` or `resnet<depth>x4`.

    Args:
        name: one of these.
        classes: K.
        shortcut: `A` (padding) or `B` (1x1 convolution) where the shape changes; by default A, and B for the `x4` nets.

    Raises:
        ValueError: another shortcut.
    """
    depth, _, factor = name.removeprefix("resnet").partition("x")
    if shortcut not in {None, "A", "B"}:
        raise ValueError(f"shortcut is A or B, not {shortcut!r}")
    project = bool(factor) if shortcut is None else shortcut == "B"
    stem, widths = (32, (64, 128, 256)) if factor else (16, (16, 32, 64))
    return CifarResNet((int(depth) - 2) // 6, stem, widths, classes, project)
