"""Floating-point operations and parameters of a network."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class NetworkSize:
    """What a network is, whatever it runs on.

    Attributes:
        forward: floating-point operations of an image's forward pass, two for each multiplication with its addition,
            in convolutions and matrix products; a training step takes three times as many.
        parameters: numbers of them.
        activations: bytes that a training step keeps of an image for its backward pass, in fp32.
    """

    forward: float
    parameters: int
    activations: float = 0.0

    @property
    def training(self) -> float:
        """Of a training step, per image: the forward pass, and twice as much backward."""
        return 3 * self.forward


def measure_size(module: nn.Module, images: Tensor, function: Callable[[Tensor], object] | None = None) -> NetworkSize:
    """Count the operations of a network on a batch.

    Args:
        module: in any mode; its parameters count.
        images: `[B, 3, S, S]`.
        function: what is called with the images; None: the module.
    """
    from torch.utils.flop_counter import FlopCounterMode

    kept: dict[int, int] = {}
    own = {each.data_ptr() for each in module.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    modes = [(each, each.training) for each in module.modules()]
    frozen = [each for each in module.parameters() if not each.requires_grad]
    # With gradients: transformers have a shortcut without, whose operations cannot be counted.
    for parameter in frozen:
        parameter.requires_grad_(True)
    module.eval()
    try:
        kept_by = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with torch.enable_grad(), FlopCounterMode(display=False) as counter, kept_by:
            (function or module)(images)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
        for part, mode in modes:
            part.training = mode
    parameters = sum(each.numel() for each in module.parameters())
    return NetworkSize(counter.get_total_flops() / len(images), parameters, sum(kept.values()) / len(images))
