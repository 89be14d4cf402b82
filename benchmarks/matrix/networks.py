"""The networks of the matrix."""

from dataclasses import dataclass, field
from typing import Any

from exporters.student.architectures import Architecture, resolve


@dataclass(frozen=True)
class Network:
    """A row of the matrix.

    Args:
        name: as `exporters.student.architectures.resolve` takes it.
        size: height and width of the images.
        arguments: of the builder.
        small: made small, for the default test suite.
        norms: batch norms that stay in the fp32 file: those before their convolution cannot be folded into it.
        misses: precisions whose gate it cannot pass here; the table says why.
        plain_kernels: trained without oneDNN, whose backward pass damages the heap (torch 2.15 on CPUs).
    """

    name: str
    size: int = 64
    arguments: dict[str, Any] = field(default_factory=dict)
    small: bool = False
    norms: int = 0
    misses: frozenset[str] = frozenset()
    plain_kernels: bool = False

    @property
    def label(self) -> str:
        """A name of its own, also for files."""
        return self.name.replace(":", "-") + ("-small" if self.small else "")

    @property
    def architecture(self) -> Architecture:
        """What `build` takes."""
        source, name = resolve(self.name)
        return Architecture(name, source, self.arguments)


MATRIX = (
    Network("torchvision:resnet18"),
    Network("torchvision:resnet50"),
    Network("torchvision:mobilenet_v2"),
    Network("torchvision:mobilenet_v3_small"),
    Network("torchvision:mobilenet_v3_large"),
    Network("torchvision:shufflenet_v2_x0_5"),
    Network("torchvision:efficientnet_b0"),
    Network("torchvision:squeezenet1_1"),
    Network("timm:mobilenetv4_conv_small"),
    Network("timm:repvgg_a0", plain_kernels=True),
    Network("timm:mobileone_s0", plain_kernels=True),
    Network("timm:convnext_atto"),
    Network("timm:vit_tiny_patch16_224", arguments={"img_size": 64}),
    Network("cifar:resnet20", 32),
    Network("cifar:shufflenet_v1", 32),
    Network("cifar:wrn-16-2", 32, norms=6),
    Network("timm:regnety_002"),
    Network("timm:ghostnet_100"),
    Network("timm:fastvit_t8", plain_kernels=True),
    Network("timm:repvit_m0_9"),
    Network("timm:efficientvit_b0"),
    Network("timm:efficientvit_m0", arguments={"img_size": 64}),
)
"""All that is tried; `make matrix`."""

_FEW = [[1, 16, 1, 1], [4, 24, 1, 2], [4, 32, 1, 2]]
SMALL = (
    Network("torchvision:mobilenet_v2", 32, {"width_mult": 0.5, "inverted_residual_setting": _FEW}, small=True),
    Network("timm:convnext_atto", 32, {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}, small=True),
    Network("timm:vit_tiny_patch16_224", 32, {"img_size": 32, "patch_size": 8, "depth": 1}, small=True),
)
"""One for each kind of graph: inverted residuals, GELU with layer norm, attention."""
