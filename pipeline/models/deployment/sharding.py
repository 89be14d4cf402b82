"""A frozen network whose parameters are sharded: each process holds a part, and a block is whole while it computes.

By PyTorch's `fully_shard` (FSDP2). Gathering a block takes all processes, so that each must ask the network as often as
the others: with equal parts of a batch that is so by itself, elsewhere by `keep_step` and `in_step`.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, device, distributed, nn

from exporters.core.errors import UnavailableError
from pipeline.distributed.collectives import of_all
from pipeline.models.blocks import repeated_blocks
from pipeline.models.deployment.frozen import Frozen

T = TypeVar("T")

_LARGE = 1 << 20
"""Bytes of a layer outside the repeated blocks from which on it is gathered by itself."""


class ShardedNetwork:
    """A frozen network that all processes of the group compute together, each on images of its own.

    Args:
        network: on the CPU, in eval mode; nothing else may use it afterwards.
        on: device of this process.

    Attributes:
        total_bytes: of all parameters.
        held_bytes: of those that this process holds between two calls.
    """

    def __init__(self, network: Frozen, on: device) -> None:
        self.total_bytes = _bytes(network)
        _shard(network, on)
        self.held_bytes = _bytes(network)
        self._network, self._device, self._has_run = network, on, False

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images float32 `[n, 3, S, S]` on the device to the network's outputs, without gradient.

        Waits for the other processes, each of which must make the same number of calls; n may differ.

        Raises:
            UnavailableError: the network uses parameters of a layer without calling it, so that they are not there.
        """
        try:
            with torch.no_grad():
                found: tuple[Tensor, ...] = self._network(images)
        except Exception as error:
            if self._has_run:
                raise
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise UnavailableError(
                f"teacher.visual.shard: the {self._network.name} cannot be sharded ({reason})",
                remedy="Use --set teacher.visual.shard=false",
            ) from error
        self._has_run = True
        return found

    def keep_step(self, looks: bool) -> bool:
        """Called by all processes before each possible call: where others call the network, this one calls it too.

        Args:
            looks: whether this process will call it by itself.

        Returns:
            Whether any process does.
        """
        any_looks = any(of_all(looks))
        if any_looks and not looks:
            size = self._network.size
            self(torch.zeros(1, 3, size, size, device=self._device))
        return any_looks

    def in_step(self, batches: Iterable[T]) -> Iterator[T]:
        """This process's batches, for each of which it calls the network once; keeps step with those that have more."""
        rest = iter(batches)
        while self.keep_step((batch := next(rest, None)) is not None):
            if batch is not None:
                yield batch


def _shard(network: Frozen, on: device) -> None:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import fully_shard

    for parameter in network.parameters():
        # FSDP shards rows of parameters that lie row by row; scalars have none, and stay whole.
        parameter.data = parameter.data.contiguous() if parameter.ndim else parameter.data.to(on)
    scalars = {parameter for parameter in network.parameters() if parameter.ndim == 0}
    group = distributed.group.WORLD
    assert group is not None
    mesh = DeviceMesh.from_group(group, on.type)
    for module in [*_units(network), network]:
        fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=scalars)


def _units(network: nn.Module) -> list[nn.Module]:
    """What is gathered at a time: repeated blocks, and large layers outside of them."""
    blocks = repeated_blocks(network)
    inside = {module for block in blocks for module in block.modules()}
    layers = [
        module
        for module in network.modules()
        # Subclasses, as attention has them, are often used without being called.
        if module not in inside and type(module) in (nn.Conv2d, nn.Linear) and _bytes(module) >= _LARGE
    ]
    return [*blocks, *layers]


def _bytes(network: nn.Module) -> int:
    """Of this process's parameters."""
    from torch.distributed.tensor import DTensor

    held: list[Tensor] = [each.to_local() if isinstance(each, DTensor) else each for each in network.parameters()]
    return sum(each.numel() * each.element_size() for each in held)
