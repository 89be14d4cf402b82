"""A forward pass of random images, to check that a network classifies images of this size.

Whatever the forward pass raises becomes one error with a remedy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from exporters.core.errors import TmkdError, UnavailableError, UsageError

_IMAGES = 2
_NO_MEMORY = ("DefaultCPUAllocator", "out of memory")


def try_network(network: nn.Module, size: int, called: str, *, remedy: str, training: bool = False) -> Tensor:
    """Run two random images through a network without changing it, its running statistics included.

    Args:
        network: maps normalised images `[B, 3, S, S]` to logits `[B, K]`.
        size: S.
        called: its name in messages, e.g. `student.model`.
        remedy: of the error, if the network does not take images of this size.
        training: run it in training mode, in which many networks return more than logits.

    Returns:
        The logits `[2, K]`.

    Raises:
        UsageError: it does not take such images, or gives anything but logits.
        UnavailableError: not enough memory.
    """
    first = next(network.parameters(), None)
    device, dtype = (first.device, first.dtype) if first is not None else (torch.device("cpu"), torch.float32)

    def images(channels: int) -> Tensor:
        random = torch.Generator(device).manual_seed(0)
        return torch.randn(_IMAGES, channels, size, size, device=device, generator=random).to(dtype)

    with _untouched(network, training):
        try:
            output = network(images(3))
        except TmkdError:
            raise
        except Exception as error:  # networks raise whatever they like
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            if isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY):
                raise UnavailableError(
                    f"{called}: not enough memory for {_IMAGES} images of {size} × {size}",
                    remedy="Take smaller images or a smaller network.",
                ) from error
            channels = _own_channels(network, images)
            if channels is not None:
                raise UsageError(
                    f"{called}: the network takes images of {channels} channel{'s' * (channels > 1)}, not of 3",
                    remedy="Images are RGB here: leave in_chans out, or set it to 3.",
                ) from error
            raise UsageError(
                f"{called}: the network cannot take images of {size} × {size} ({reason})", remedy=remedy
            ) from error
    return _logits(output, called, training)


@contextmanager
def _untouched(network: nn.Module, training: bool) -> Iterator[None]:
    """Set the mode, and put modes, buffers and the global random stream back."""
    modes = {module: module.training for module in network.modules()}
    buffers = [(buffer, buffer.detach().clone()) for buffer in network.buffers()] if training else []
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            network.train(training)
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


def _own_channels(network: nn.Module, images: Any) -> int | None:
    """The channels of a network's first convolution, where it takes images of so many and not of three."""
    found = next((module.in_channels for module in network.modules() if isinstance(module, nn.Conv2d)), 3)
    if found == 3:
        return None
    try:
        network(images(found))
    except Exception:  # its own channels do not help: then they are not the reason
        return None
    return found


def _logits(output: Any, called: str, training: bool) -> Tensor:
    when = "in training, " if training else ""
    if isinstance(output, Tensor):
        if output.ndim == 2 and output.shape[0] == _IMAGES and output.is_floating_point():
            return output
        raise UsageError(
            f"{called}: {when}the network gives {list(output.shape)} for {_IMAGES} images and not logits [B, classes]",
            remedy="Leave out arguments that change what it gives, such as global_pool.",
        )
    what = f"{type(output).__name__} of {len(output)}" if hasattr(output, "__len__") else type(output).__name__
    raise UsageError(
        f"{called}: {when}the network gives a {what} and not logits [B, classes]",
        remedy="Leave out arguments that change what it gives, such as features_only or aux_logits.",
    )
