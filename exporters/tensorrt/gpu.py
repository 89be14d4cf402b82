"""The GPU of this machine, as torch sees it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """Name as the driver gives it, and compute capability such as "8.9"."""

    name: str
    compute_capability: str


def current_gpu() -> Gpu | None:
    """The GPU that CUDA uses here; None without one, without a driver, or without a torch that could use it."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability()
    return Gpu(torch.cuda.get_device_name(), f"{major}.{minor}")
