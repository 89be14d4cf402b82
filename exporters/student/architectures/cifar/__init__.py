"""The networks for 32-pixel images that the distillation papers compare on, one file a family.

Tian et al., "Contrastive Representation Distillation" (ICLR 2020), tables 1 and 2, made the selection that others
follow; each family's file names the paper that it is written from.
"""

import re
from collections.abc import Callable

from torch import nn

from exporters.student.architectures.cifar.mobilenet import build_mobilenet
from exporters.student.architectures.cifar.resnet import build_resnet
from exporters.student.architectures.cifar.shufflenet import build_shufflenet
from exporters.student.architectures.cifar.vgg import build_vgg
from exporters.student.architectures.cifar.wrn import build_wrn

FAMILIES: dict[str, Callable[..., nn.Module]] = {
    "resnet": build_resnet,
    "wrn": build_wrn,
    "vgg": build_vgg,
    "mobilenet": build_mobilenet,
    "shufflenet": build_shufflenet,
}
"""By the letters that a name begins with; each is called with name, classes and the family's own arguments."""


def build_cifar(name: str, classes: int, **arguments: object) -> nn.Module:
    """Build one of `exporters.student.architectures.CIFAR_NAMES` with random weights (He initialisation).

    Args:
        name: such as `resnet20`, `wrn-40-2`, `shufflenet_v1`.
        classes: K.
        arguments: of the family; `shortcut` for ResNets, none for the others.

    Raises:
        TypeError, ValueError: an argument that the family does not take, or a value that it does not know.
    """
    family = re.split(r"[^a-z]", name, maxsplit=1)[0]
    return FAMILIES[family](name, classes, **arguments)
