import re

import torch
from torch import nn

from exporters.student.architectures import Architecture, build

# The nets of the comparison in Tian et al. 2020, for 100 classes; its narrow ResNets have shortcuts of option B.
# Equal counts do not mean equal functions. Where the nets of that comparison leave their papers without a change of
# the count, ours follow the papers: MobileNetV2 has ReLU6 rather than ReLU, ShuffleNetV1 no ReLU after its depthwise
# convolutions and the averaged input before the branch. Our VGGs pool three times at every image size, theirs once
# more at 64 pixels.
COMPARED = {
    "resnet20": 278_324,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
    "wrn-16-2": 703_284,
    "wrn-40-1": 569_780,
    "wrn-40-2": 2_255_156,
    "vgg8": 3_965_028,
    "vgg13": 9_462_180,
    "mobilenet_v2": 812_836,
    "shufflenet_v1": 949_258,
    "shufflenet_v2": 1_355_528,
}


def make(name: str, classes: int, **arguments: object) -> nn.Module:
    torch.manual_seed(0)
    return build(Architecture(name, "cifar", arguments), classes)


def parameters(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def option_b(name: str) -> dict[str, str]:
    return {"shortcut": "B"} if re.fullmatch(r"resnet\d+", name) else {}


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Give `target` the tensors of `source`, which are the same in the same order of modules."""
    tensors = list(source.state_dict().values())
    state = target.state_dict()
    assert [value.shape for value in tensors] == [value.shape for value in state.values()]
    target.load_state_dict(dict(zip(state, tensors, strict=True)))
