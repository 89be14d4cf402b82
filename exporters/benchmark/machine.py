"""What was measured on: the processor and the libraries, and nothing that names the machine or its owner."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

_LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "torch", "numpy")
_CPUINFO = Path("/proc/cpuinfo")


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine(*, gpu: bool = False) -> dict[str, Any]:
    """System, processor, cores and library versions; with `gpu`, the names of the GPUs as well.

    Returns:
        {"system", "processor", "cores", "gpus", "python", "libraries": {distribution: version}}.
    """
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": cores(),
        "gpus": _gpus() if gpu else [],
        "python": platform.python_version(),
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name)) is not None},
    }


def processor(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's model, from Linux's `cpuinfo` if it is given there, else as Python knows it."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return [line.strip() for line in found.stdout.splitlines() if line.strip()] if found.returncode == 0 else []
