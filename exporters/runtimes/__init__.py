"""Runs a student in PyTorch, ONNX Runtime or TensorRT behind one method: uint8 images in, logits out.

A requested provider that does not run is an error, never a silent fall-back to the CPU.
"""

from exporters.runtimes.base import Explained, Explainer, Runtime
from exporters.runtimes.eager import TorchRuntime
from exporters.runtimes.ort import OnnxRuntime, Provider

__all__ = ["Explained", "Explainer", "OnnxRuntime", "Provider", "Runtime", "TorchRuntime"]
