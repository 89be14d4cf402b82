"""Full precision inside mixed precision: softmax, KL, norms and transforms lose too much in bf16 and fp16."""

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> torch.autocast:
    """A context with autocast switched off on the tensor's device."""
    return torch.autocast(device_type=tensor.device.type, enabled=False)


def widen(tensor: Tensor) -> Tensor:
    """The tensor in fp32; float64 stays float64, so that gradients can be checked numerically."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
