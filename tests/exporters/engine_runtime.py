"""What stands in for a GPU, at the one seam where one is needed: the class that executes a plan."""

from pathlib import Path

import numpy as np
import pytest

from exporters.core.files import sha256_file
from exporters.runtimes import OnnxRuntime
from exporters.tensorrt import read_sidecar, sidecar_path
from exporters.tensorrt.gpu import Gpu
from exporters.tensorrt.sidecar import read_plan

GPU = Gpu("Stand-in RTX", "8.9")


class SourceRuntime:
    """Answers as the ONNX file that the engine was built from, which is looked for near the plan."""

    error = 0.0
    gpu = GPU.name

    def __init__(self, plan: Path, sha256: str, flavour: str = "auto") -> None:
        read_plan(plan, sha256)
        source = read_sidecar(sidecar_path(plan))["onnx"]["sha256"]
        near = [path for folder in list(plan.resolve().parents)[:3] for path in folder.rglob("*.onnx")]
        self._runtime = OnnxRuntime(next(path for path in near if sha256_file(path) == source))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Its logits, the first class raised by `error` of the largest."""
        logits = self._runtime.predict(images).copy()
        logits[:, 0] += np.float32(self.error) * np.abs(logits).max()
        return logits


def stand_in(patch: pytest.MonkeyPatch, error: float = 0.0) -> None:
    """Let there be a GPU, on which engines answer as their source, or by `error` otherwise."""
    patch.setattr("exporters.runtimes.tensorrt.TensorRTRuntime", SourceRuntime)
    patch.setattr("exporters.artifacts.engines.current_gpu", lambda: GPU)
    patch.setattr(SourceRuntime, "error", error)
