"""Batch norms over the whole batch of several processes, for a training forward pass (`sync_batch_norm`)."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules._functions import SyncBatchNorm as FusedBatchNorm
from torch.overrides import TorchFunctionMode

from pipeline.distributed.collectives import averaged, process_count


class SynchronisedTask(nn.Module):
    """A task whose batch norms in train mode see the images of all processes, whatever library made them.

    The network is left as it is, so that what is saved and exported has plain batch norms.

    Args:
        task: what is trained.
    """

    def __init__(self, task: nn.Module) -> None:
        super().__init__()
        self.task = task

    def forward(self, *arguments: Any, **options: Any) -> Any:
        """As of the task."""
        with _Synchronised():
            return self.task(*arguments, **options)


class _Synchronised(TorchFunctionMode):
    """A block in which `torch.nn.functional.batch_norm` takes its statistics from all processes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is nn.functional.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.batch_norm`."""
    if not training or process_count() == 1:
        return nn.functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if input.is_cuda:
        group = distributed.group.WORLD
        fused: Tensor = FusedBatchNorm.apply(
            input.contiguous(memory_format=_layout(input)), weight, bias, running_mean, running_var, eps, momentum,
            group, process_count(),
        )  # fmt: skip
        return fused
    return synchronised_batch_norm(input, running_mean, running_var, weight, bias, momentum, eps)


def _layout(values: Tensor) -> torch.memory_format:
    is_last = values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format


def synchronised_batch_norm(
    values: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv 1502.03167) over the parts of all processes, on any device.

    Args:
        values: `[n, C, …]`, of one shape in each process.
        running_mean, running_var: `[C]`, updated in place; None: not kept.
        weight, bias: `[C]`; None: 1 and 0.
        momentum: share of the batch in the running statistics.
        eps: added to the variance.

    Returns:
        As `values`, dtype too.
    """
    axes = [0, *range(2, values.dim())]
    shape = [1, -1, *[1] * (values.dim() - 2)]
    wide = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
    mean: Tensor = _Mean.apply(wide.mean(axes))
    centred = wide - mean.view(shape)
    variance: Tensor = _Mean.apply(centred.square().mean(axes))
    if running_mean is not None and running_var is not None:
        count = process_count() * values.numel() / values.shape[1]
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean), momentum)
            running_var.lerp_((variance * (count / max(count - 1, 1))).to(running_var), momentum)
    normal = centred * (variance + eps).rsqrt().view(shape)
    if weight is not None:
        normal = normal * weight.view(shape)
    if bias is not None:
        normal = normal + bias.view(shape)
    return normal.to(values.dtype)


class _Mean(torch.autograd.Function):
    """The mean over the processes. Each part has its effect on the losses of all, whose gradients are averaged too."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return averaged(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return averaged(gradient)
