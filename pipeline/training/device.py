"""The device and the precision that training runs on, through Lightning Fabric: one code for CUDA, MPS and CPU."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from exporters.core.errors import UnavailableError
from exporters.core.process_state import quiet
from pipeline.distributed.collectives import process_count
from pipeline.distributed.ranks import this_rank
from pipeline.training.batch_norm import SynchronisedTask

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]

_FABRIC_PRECISION: dict[str, Any] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def make_fabric(device: Device, precision: Precision) -> Fabric:
    """A Fabric on one device: of several processes on a machine, each has a GPU of its own.

    `auto` takes CUDA, else MPS, else the CPU; and mixed bf16 on CUDA where the card has it (fp16 where not), fp32
    elsewhere, because autocast makes training on a CPU slower, not faster.

    Raises:
        UnavailableError: the device that was asked for is not there.
    """
    chosen, precision = choose_device(device, precision)
    rank = this_rank()
    devices: list[int] | int = 1
    if rank.count > 1 and chosen == "cuda":
        devices = [rank.local]
        if rank.local >= torch.cuda.device_count():
            raise UnavailableError(
                f"device: {rank.describe()} needs GPU {rank.local} of its machine, which has"
                f" {torch.cuda.device_count()}",
                remedy="Start one process a GPU.",
            )
    # What is between the processes is ours: Fabric would look at Slurm's variables and start processes itself.
    plugins: list[Any] | None = [LightningEnvironment()] if rank.count > 1 else None
    with quiet():
        fabric = Fabric(accelerator=chosen, devices=devices, precision=_FABRIC_PRECISION[precision], plugins=plugins)
        fabric.launch()
    return fabric


def distributed_task(task: nn.Module, sync_batch_norm: bool = False) -> nn.Module:
    """A task whose gradients are the means over all processes (DDP); with one process, the task itself.

    Args:
        task: what is trained.
        sync_batch_norm: whether batch norms see the images of all processes.

    Buffers stay each process's own: what a batch norm saw, `average_statistics` averages; what a method remembers is
    computed alike in all.
    """
    if process_count() == 1:
        return task
    # A head that is trained alone, or a view that no image of a batch is shown in, leaves parameters without gradient.
    if sync_batch_norm:
        task = SynchronisedTask(task)
    with quiet():  # newer versions have another name for the first of these
        return DistributedDataParallel(task, broadcast_buffers=False, find_unused_parameters=True)


def gradients_kept(fabric: Fabric, model: Any, enabled: bool) -> AbstractContextManager[Any]:
    """A block whose gradients are added up in each process, to be exchanged with those of a later batch.

    Args:
        fabric: device and precision.
        model: a `distributed_task` as wrapped by Fabric.
        enabled: whether that is so; else the block is as any other.
    """
    inner = getattr(model, "module", None)
    if isinstance(inner, DistributedDataParallel):
        return inner.no_sync() if enabled else nullcontext()
    return fabric.no_backward_sync(model, enabled=enabled)


def choose_device(
    device: Device, precision: Precision
) -> tuple[Literal["cpu", "cuda", "mps"], Literal["fp32", "bf16", "fp16"]]:
    """What `auto` means here, and the rest as it is.

    Raises:
        UnavailableError: the device that was asked for is not there, or does not have the precision.
    """
    chosen = _available_device() if device == "auto" else device
    if chosen == "cuda" and not torch.cuda.is_available():
        raise UnavailableError("device: cuda was asked for, and PyTorch finds no CUDA device", remedy=_DEVICE_REMEDY)
    if chosen == "mps" and not torch.backends.mps.is_available():
        raise UnavailableError("device: mps was asked for, and PyTorch finds no MPS device", remedy=_DEVICE_REMEDY)
    if precision == "auto":
        has_bf16 = chosen == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16" if has_bf16 else "fp16" if chosen == "cuda" else "fp32"
    if precision == "fp16" and chosen == "cpu":
        raise UnavailableError("train.precision: fp16 needs a GPU", remedy="Use --set train.precision=auto")
    return chosen, precision


_DEVICE_REMEDY = "Use --set device=auto, or install a PyTorch build for that device."


def _available_device() -> Literal["cpu", "cuda", "mps"]:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """A block in which PyTorch's own generators, of the CPU and of this device, begin at a seed; then as they were."""
    cuda = [device] if device.type == "cuda" else []
    mps = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=cuda):
        # `torch.manual_seed` would seed every device there is.
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        if mps is not None:
            torch.mps.manual_seed(seed)
        try:
            yield
        finally:
            if mps is not None:
                torch.mps.set_rng_state(mps)


def computed_precision(fabric: Fabric) -> str:
    """The precision that this Fabric really computes in, whatever was asked for: `32-true`, `bf16-mixed`, `16-mixed`.

    `32-true, tf32` where the card rounds the operands of convolutions to TF32, which PyTorch allows by default.
    """
    precision: str = fabric.strategy.precision.precision
    if precision == "32-true" and fabric.device.type == "cuda" and torch.backends.cudnn.allow_tf32:
        has_tf32 = torch.cuda.get_device_capability(fabric.device)[0] >= 8
        return f"{precision}, tf32" if has_tf32 else precision
    return precision


def describe_device(fabric: Fabric) -> str:
    """The device in words, as `NVIDIA A100, bf16-mixed` or `cpu (8 threads), 32-true`."""
    name = (
        torch.cuda.get_device_name(fabric.device)
        if fabric.device.type == "cuda"
        else f"cpu ({torch.get_num_threads()} threads)"
        if fabric.device.type == "cpu"
        else fabric.device.type
    )
    several = f"{process_count()} × " if process_count() > 1 else ""
    return f"{several}{name}, {fabric.strategy.precision.precision}"
