"""A frozen network whose parameters are sharded: each process holds a part, and a block is whole while it computes.

By PyTorch's `fully_shard` (FSDP2). Gathering a block takes all processes, so that each must ask the network as often as
the others: with equal parts of a batch that is so by itself, elsewhere by `keep_step` and `in_step`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
            UnavailableError: the network uses parameters of a block outside of it, where they are not there.
        """
        try:
            with torch.no_grad():
                found: tuple[Tensor, ...] = self._network(images)
        except Exception as error:
            if self._has_run:
                raise
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise UnavailableError(
                f"{self._network.section}.shard: the {self._network.name} cannot be sharded ({reason})",
                remedy=f"Use --set {self._network.section}.shard=false",
            ) from error
        self._has_run = True
        return found

    def describe(self) -> str:
        """How much of it this process holds, in one line."""
        held, total = self.held_bytes / 1e6, self.total_bytes / 1e6
        return f"{self._network.name}: sharded; {held:,.1f} MB of its {total:,.1f} MB of parameters in this process"

    def idle(self) -> None:
        """Call the network for the others alone, with a black image."""
        size = self._network.size
        self(torch.zeros(1, 3, size, size, device=self._device))


def keep_step(networks: Sequence[ShardedNetwork], looks: bool) -> bool:
    """Called by all processes before each possible look: where others look, this one calls the networks too.

    Args:
        networks: that a look calls, each once, in this order.
        looks: whether this process will look by itself.

    Returns:
        Whether any process does.
    """
    any_looks = any(of_all(looks))
    if any_looks and not looks:
        for network in networks:
            network.idle()
    return any_looks


def in_step(
    networks: Sequence[ShardedNetwork], batches: Iterable[T], idle: Callable[[], object] | None = None
) -> Iterator[T]:
    """This process's batches, at each of which it looks once; keeps step with those that have more.

    Args:
        networks: as for `keep_step`.
        batches: of this process.
        idle: what else keeps step in each batch, after the look; called where this process has none any more.
    """
    rest = iter(batches)
    while keep_step(networks, (batch := next(rest, None)) is not None):
        if batch is not None:
            yield batch
        elif idle is not None:
            idle()


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


def _units(network: Frozen) -> list[nn.Module]:
    """What is gathered at a time: repeated blocks, and large layers outside of them.

    Parameters are gathered when their module is called. Attention takes those of its layers without calling them, so
    that in the place of a block or layer that is not called is the module around it that is.
    """
    blocks = repeated_blocks(network)
    inside = {module for block in blocks for module in block.modules()}
    layers = [
        module
        for module in network.modules()
        if module not in inside and isinstance(module, nn.Conv2d | nn.Linear) and _bytes(module) >= _LARGE
    ]
    called, around = _called(network), _parents(network)

    def unit_of(module: nn.Module) -> nn.Module:
        return module if module in called else unit_of(around[module])

    units = {unit_of(module) for module in (*blocks, *layers)} - {network}
    order = {module: number for number, module in enumerate(network.modules())}
    return sorted(units, key=lambda module: -order[module])  # FSDP takes inner modules before those around them


def _called(network: Frozen) -> set[nn.Module]:
    """The modules whose `forward` runs when the network, on the CPU, looks at an image."""
    called: set[nn.Module] = set()

    def note(module: nn.Module, _: object) -> None:
        called.add(module)

    hooks = [module.register_forward_pre_hook(note) for module in network.modules()]
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, network.size, network.size))
    finally:
        for hook in hooks:
            hook.remove()
    return called


def _parents(network: nn.Module) -> dict[nn.Module, nn.Module]:
    return {child: module for module in network.modules() for child in module.children()}


def _bytes(network: nn.Module) -> int:
    """Of this process's parameters."""
    from torch.distributed.tensor import DTensor

    held: list[Tensor] = [each.to_local() if isinstance(each, DTensor) else each for each in network.parameters()]
    return sum(each.numel() * each.element_size() for each in held)
