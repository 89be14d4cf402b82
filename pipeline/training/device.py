"""The device and the precision that training runs on, through Lightning Fabric: one code for CUDA, MPS and CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from lightning_fabric import Fabric

from exporters.core.errors import UnavailableError
from exporters.core.process_state import quiet

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]

_FABRIC_PRECISION: dict[str, Any] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def make_fabric(device: Device, precision: Precision) -> Fabric:
    """A Fabric on one device.

    `auto` takes CUDA, else MPS, else the CPU; and mixed bf16 on CUDA where the card has it (fp16 where not), fp32
    elsewhere, because autocast makes training on a CPU slower, not faster.

    Raises:
        UnavailableError: the device that was asked for is not there.
    """
    chosen, precision = choose_device(device, precision)
    with quiet():
        fabric = Fabric(accelerator=chosen, devices=1, precision=_FABRIC_PRECISION[precision])
        fabric.launch()
    return fabric


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
    return f"{name}, {fabric.strategy.precision.precision}"
