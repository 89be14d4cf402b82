"""Bringing what is trained onto its device, in the form in which it trains fastest."""

from typing import TypeVar

import torch
from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)

_COPIED = (nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.SiLU, nn.Mish, nn.Threshold)
"""Activations whose gradient needs their input (`nn.ReLU6` is an `nn.Hardtanh`)."""


def prepared(task: ModuleT, device: torch.device) -> ModuleT:
    """The module itself, on the device, with its weights channels last.

    Activations that overwrite their input, and need it for their gradient, make PyTorch copy it first. They write to a
    tensor of their own from here on, which takes the same memory without the copy, and gives the same to the bit.

    Args:
        task: all that is trained.
        device: where.
    """
    task.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in task.modules():
        if isinstance(module, _COPIED):
            module.inplace = False
    return task
