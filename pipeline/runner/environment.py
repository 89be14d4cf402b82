"""What a run runs on: versions and machine, for the record, and held against those of a run that is repeated."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from exporters.benchmark.machine import cores, processor
from exporters.core.versions import installed_packages

if TYPE_CHECKING:
    from pipeline.recipe.schema.lock import LockSettings

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables from which PyTorch takes its number of threads when it is imported."""


def describe_environment() -> dict[str, Any]:
    """Versions of Python and of the packages that matter, system and processors; imports none of them.

    Returns:
        {"python", "system", "machine", "processor", "processors", "cores", "threads", "gpu", "packages"}; `threads` of
        PyTorch and the name of the `gpu` are None as long as nothing has imported it.
    """
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": processor(),
        "processors": os.cpu_count(),
        "cores": cores(),
        "threads": loaded_threads(),
        "gpu": loaded_gpu(),
        "packages": installed_packages(),
    }


def loaded_threads() -> int | None:
    """PyTorch's threads on the CPU; None as long as nothing has imported it."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def loaded_gpu() -> str | None:
    """The name of the GPU that PyTorch has begun to use; None without one."""
    torch = sys.modules.get("torch")
    return str(torch.cuda.get_device_name()) if torch is not None and torch.cuda.is_initialized() else None


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """A block in which PyTorch computes with so many threads on the CPU, whether it is imported before or in it.

    Args:
        count: 1 or more; None: as it would anyway.
    """
    if count is None:
        yield
        return
    before = {name: os.environ.get(name) for name in _THREADS}
    torch = sys.modules.get("torch")
    loaded = None if torch is None else torch.get_num_threads()
    os.environ.update(dict.fromkeys(_THREADS, str(count)))
    if torch is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if torch is not None:
            torch.set_num_threads(loaded)


def environment_changes(lock: "LockSettings") -> list[str]:
    """What is another here than where the run was that is repeated, one phrase each; nothing is imported."""
    versions = installed_packages()
    parts = [
        ("the processor", lock.processor, processor()),
        ("Python", lock.python, platform.python_version()),
        *((name, version, versions.get(name, "not installed")) for name, version in sorted(lock.packages.items())),
    ]
    return [f"{name} was {was}, is {now}" for name, was, now in parts if was is not None and was != now]
