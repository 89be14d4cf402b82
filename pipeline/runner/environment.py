"""What a run ran on: versions and machine, for the record."""

import importlib.metadata
import os
import platform
from typing import Any

_PACKAGES = (
    "lightning-fabric",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxscript",
    "open_clip_torch",
    "pillow",
    "safetensors",
    "timm",
    "tmkd-pipeline",
    "torch",
    "torchvision",
)


def describe_environment() -> dict[str, Any]:
    """Versions of Python and of the packages that matter, system and processors; imports none of them."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "packages": installed_packages(),
    }


def installed_packages() -> dict[str, str]:
    """Version by name, of those that are installed."""
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed
