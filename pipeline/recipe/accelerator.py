"""Whether training may run on CUDA here, found without torch."""

import os
import sys
from pathlib import Path

from pipeline.recipe.schema.recipe import Recipe

_DEVICE_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
"""Of NVIDIA's driver, of Windows below WSL, and of AMD's driver, whose devices PyTorch calls CUDA too."""


def may_be_cuda(recipe: Recipe) -> bool:
    """Whether the recipe's device is CUDA or may turn out to be.

    False only where that is certain: the recipe says another device, this is a Mac, or Linux without a driver.
    """
    if recipe.device != "auto":
        return recipe.device == "cuda"
    if sys.platform == "darwin" or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return not sys.platform.startswith("linux") or any(Path(name).exists() for name in _DEVICE_FILES)
