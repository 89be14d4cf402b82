import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.files import sha256_bytes
from exporters.runtimes import OnnxRuntime
from exporters.runtimes.tensorrt import TensorRTRuntime
from exporters.tensorrt import EngineSettings, build_engine, find
from exporters.tensorrt.gpu import current_gpu
from tests.exporters.conftest import Exported


def test_hash_is_checked_before_tensorrt_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("TensorRT was looked for before the hash was compared")

    monkeypatch.setattr("exporters.runtimes.tensorrt.find", never)
    plan = tmp_path / "a.plan"
    plan.write_bytes(b"changed")
    for source in (plan, b"changed"):
        with pytest.raises(GateError, match="sha256"):
            TensorRTRuntime(source, "ab" * 32)
    with pytest.raises(UsageError, match="cannot be read"):
        TensorRTRuntime(tmp_path / "none.plan", "ab" * 32)


def test_missing_gpu_is_reported() -> None:
    pytest.importorskip("tensorrt_rtx")
    if current_gpu() is not None:
        pytest.skip("there is a GPU")
    with pytest.raises(UnavailableError, match="NVIDIA GPUs") as caught:
        TensorRTRuntime(b"plan", sha256_bytes(b"plan"), "tensorrt_rtx")
    assert caught.value.exit_code == 4 and "nvidia-smi" in str(caught.value)


def test_fp32_means_fp32_for_the_tensorrt_provider_too(cifar: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "x")  # so that it is restored
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    if "TensorrtExecutionProvider" not in onnxruntime.get_available_providers():
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider"])
    seen: list[str | None] = []
    real = onnxruntime.InferenceSession

    def session(*arguments: Any, **options: Any) -> Any:
        seen.append(os.environ.get("NVIDIA_TF32_OVERRIDE"))
        return real(*arguments, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    if current_gpu() is None:
        with pytest.raises(UnavailableError):
            OnnxRuntime(cifar.data, "tensorrt")
    else:
        OnnxRuntime(cifar.data, "tensorrt")
    assert seen == ["0"] and "NVIDIA_TF32_OVERRIDE" not in os.environ
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")  # what the user has set stays
    with contextlib.suppress(UnavailableError):
        OnnxRuntime(cifar.data, "tensorrt")
    assert seen == ["0", "1"] and os.environ["NVIDIA_TF32_OVERRIDE"] == "1"


@pytest.mark.gpu
@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt_rtx"])
def test_an_engine_equals_the_student(cifar: Exported, tmp_path: Path, flavour: str) -> None:
    pytest.importorskip(flavour)
    library = find(flavour)  # type: ignore[arg-type]
    gpu = current_gpu()
    assert gpu is not None
    if library.is_rtx and gpu.compute_capability not in library.compute_capabilities:
        pytest.skip(f"TensorRT for RTX builds nothing for {gpu.name}")
    capabilities = (gpu.compute_capability,) if library.is_rtx else ()
    built = build_engine(
        cifar.export.path,
        tmp_path / "a.plan",
        EngineSettings((2, 4, 8), compute_capabilities=capabilities),
        precision="fp32",
        library=library,
    )
    runtime = TensorRTRuntime(built.path, built.sha256, library.name)
    scale = np.abs(cifar.logits).max()
    for count in (1, 2, 7, 8, 9, 20):  # below, inside and beyond the profile
        found = runtime.predict(cifar.images[:count])
        assert found.dtype == np.float32 and found.shape == (count, cifar.logits.shape[1])
        assert np.abs(found - cifar.logits[:count]).max() < 1e-4 * scale
