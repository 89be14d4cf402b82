"""What processes that train together exchange; with one process, everything is as it was given.

Of a batch, each process has an equal part, in the order of their numbers. A loss that is a mean over images needs no
exchange: the mean of the processes' gradients is the gradient of the whole batch's loss. A loss that compares the
images of a batch takes them from all processes (`gathered`) and is then the same in each.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _NormBase

from exporters.core.growing import GrowingArray
from pipeline.distributed.parts import Part
from pipeline.randomness import Samples

T = TypeVar("T")

_objects: list[Any] = []
"""The process group that exchanges Python objects; set by `pipeline.distributed.group`."""
_shared: list[bool] = []


@contextmanager
def sharing() -> Iterator[None]:
    """A block in which this process does the same as all others of its group.

    Outside of one, everything here is as in a process that trains alone: the leader works while the others wait, and
    what it asked of them would never come.
    """
    _shared.append(True)
    try:
        yield
    finally:
        _shared.pop()


def is_sharing() -> bool:
    """Whether this process is in a block of `sharing`."""
    return bool(_shared)


def process_count() -> int:
    """How many processes do this work together; 1 where this one does it alone."""
    return distributed.get_world_size() if _is_started() else 1


def process_number() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if _is_started() else 0


def this_part() -> Part:
    """The part of the work that is this process's."""
    return Part(process_number(), process_count())


def _is_started() -> bool:
    return bool(_shared) and distributed.is_available() and distributed.is_initialized()


def gathered(values: Tensor) -> Tensor:
    """The parts of all processes as one, in their order: `[n, …]` → `[processes·n, …]`, with gradient.

    Its gradient is that of this process's own part, times the number of processes: their mean, which is what DDP takes,
    is then the gradient of a loss that every process computes from the whole. No process waits for it in the backward
    pass.

    Args:
        values: of the same shape in each process.
    """
    if process_count() == 1:
        return values
    if values.requires_grad:
        whole: Tensor = _Gather.apply(values)  # type: ignore[no-untyped-call]
        return whole
    return _gather(values)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        context.images = len(values)
        return _gather(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        begin = process_number() * context.images
        return gradient[begin : begin + context.images] * process_count()


def _gather(values: Tensor) -> Tensor:
    values = values.detach().contiguous()
    parts = [torch.empty_like(values) for _ in range(process_count())]
    distributed.all_gather(parts, values)
    return torch.cat(parts)


def gathered_samples(samples: Samples) -> Samples:
    """The samples of the whole batch."""
    if process_count() == 1:
        return samples
    partners = None if samples.partners is None else gathered(samples.partners)
    shares = None if samples.shares is None else gathered(samples.shares)
    return Samples(gathered(samples.indices), samples.epoch, partners, shares)


@torch.no_grad()
def summed(values: Tensor) -> Tensor:
    """The sum over all processes, without gradient."""
    if process_count() == 1:
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total


def averaged(values: Tensor) -> Tensor:
    """The mean over all processes, without gradient."""
    return values if process_count() == 1 else summed(values) / process_count()


def average_statistics(module: nn.Module) -> None:
    """Give all processes the mean of their running statistics of batch norms, each of which saw its own images."""
    if process_count() == 1:
        return
    for owner in module.modules():
        if isinstance(owner, _NormBase):
            for buffer in owner.buffers(recurse=False):
                if buffer.is_floating_point():
                    buffer.copy_(averaged(buffer))


def interleaved(mine: Sequence[T]) -> list[T]:
    """What the processes made in turns, in its order: process r has items r, r + processes, … of the whole."""
    if process_count() == 1:
        return list(mine)
    return _interleaved(of_all(list(mine)))


def interleaved_rows(mine: GrowingArray) -> np.ndarray:
    """The rows that the processes added in turns, as `interleaved` puts them in order; no copy of one's own alone."""
    return mine.array() if process_count() == 1 else np.concatenate(interleaved(mine.parts()))


def interleaved_for_leader(mine: Sequence[T]) -> list[T]:
    """As `interleaved`, in process 0; nothing in the others, which are spared what they do not need."""
    if process_count() == 1:
        return list(mine)
    parts: list[Any] | None = [None] * process_count() if process_number() == 0 else None
    distributed.gather_object(list(mine), parts, dst=0, group=_objects[-1])
    return _interleaved(parts) if parts is not None else []


def _interleaved(parts: Sequence[Sequence[T]]) -> list[T]:
    return [parts[place % len(parts)][place // len(parts)] for place in range(sum(map(len, parts)))]


@contextmanager
def leader_first() -> Iterator[None]:
    """A block that process 0 ends before the others begin it: what it leaves on the disk they find."""
    if process_number() > 0:
        of_all(None)
    yield
    if process_number() == 0:
        of_all(None)


def of_all(value: T) -> list[T]:
    """The values of all processes, in their order."""
    if process_count() == 1:
        return [value]
    found: list[Any] = [None] * process_count()
    distributed.all_gather_object(found, value, group=_objects[-1])
    return found


def from_leader(value: T) -> T:
    """The value of process 0, in each process: for what follows from disks, clocks and other state of a machine."""
    if process_count() == 1:
        return value
    box: list[Any] = [value]
    distributed.broadcast_object_list(box, src=0, group=_objects[-1])
    found: T = box[0]
    return found
