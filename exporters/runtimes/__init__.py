"""Run a student wherever it lives, behind one method: uint8 images in, logits out.

A provider that was asked for and does not really run is an error, never a silent fall-back to the CPU.
"""

from exporters.runtimes.base import Runtime
from exporters.runtimes.eager import TorchRuntime
from exporters.runtimes.ort import OnnxRuntime, Provider

__all__ = ["OnnxRuntime", "Provider", "Runtime", "TorchRuntime"]
