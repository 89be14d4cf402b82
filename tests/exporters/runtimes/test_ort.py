import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.onnx.cam import find_cam_source, with_cam
from exporters.runtimes import OnnxRuntime
from tests.exporters.conftest import Exported


def test_onnx_equals_torch_from_path_and_bytes(cifar: Exported, shufflenet: Exported) -> None:
    for exported in (cifar, shufflenet):
        for source in (exported.export.path, exported.data):
            found = OnnxRuntime(source, threads=1).predict(exported.images)
            assert found.dtype == np.float32
            assert np.abs(found - exported.logits).max() < 1e-5 * np.abs(exported.logits).max()


def test_missing_provider_is_an_error(cifar: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    for provider in ("cuda", "tensorrt"):
        with pytest.raises(UnavailableError, match="ExecutionProvider") as caught:
            OnnxRuntime(cifar.data, provider)
        assert caught.value.exit_code == 4
    with pytest.raises(UsageError, match="unknown provider"):
        OnnxRuntime(cifar.data, "tpu")  # type: ignore[arg-type]


def test_provider_that_does_not_start_is_an_error(cifar: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime itself only warns and runs on the CPU."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine may really have CUDA")
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    with pytest.raises(UnavailableError, match="CUDAExecutionProvider did not start"):
        OnnxRuntime(cifar.data, "cuda")


def test_missing_onnxruntime_is_an_error(cifar: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnavailableError, match=r"tmkd-pipeline\[runtime\]"):
        OnnxRuntime(cifar.data)


def test_files_that_are_no_model_are_refused(cifar: Exported) -> None:
    with pytest.raises(GateError, match="cannot be loaded"):
        OnnxRuntime(b"not a model")
    model = onnx.load_from_string(cifar.data)
    model.graph.output[0].name = "scores"
    model.graph.node[-1].output[0] = "scores"
    with pytest.raises(GateError, match="logits"):
        OnnxRuntime(model.SerializeToString())


def test_importing_the_module_imports_no_torch() -> None:
    code = "import sys, exporters.runtimes, exporters.bundle.verify, exporters.parity, exporters.bundle.pack; "
    subprocess.run([sys.executable, "-c", code + "assert not {'torch', 'onnx'} & set(sys.modules)"], check=True)


def test_onnxruntime_keeps_no_id_of_this_machine(cifar: Exported, tmp_path: Path) -> None:
    """Usage data are sent under an id that ONNX Runtime writes below the home directory; it is asked not to."""
    code = "import sys; from exporters.runtimes import OnnxRuntime; OnnxRuntime(sys.stdin.buffer.read())"
    plain = {key: value for key, value in os.environ.items() if key not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    plain |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=plain, check=True, input=cifar.data)
    assert list(tmp_path.iterdir()) == []


def test_output_cam_is_read_where_there_is_one(cifar: Exported) -> None:
    plain = OnnxRuntime(cifar.data, threads=1)
    assert plain.map_size is None
    with pytest.raises(UsageError, match="gives no class activation maps"):
        plain.explain(cifar.images)
    data = with_cam(cifar.data, find_cam_source(cifar.data)).data
    runtime = OnnxRuntime(data, threads=1)
    found = runtime.explain(cifar.images)
    assert runtime.map_size == (8, 8) and found.cam.shape == (20, 8, 8) and found.cam.dtype == np.float32
    np.testing.assert_array_equal(found.logits, runtime.predict(cifar.images))
    model = onnx.load_from_string(data)
    del model.graph.output[-1].type.tensor_type.shape.dim[2]
    model.graph.node[-1].output[0] = "three"
    model.graph.node.append(onnx.helper.make_node("ReduceMean", ["three"], ["cam"], "two", keepdims=0))
    with pytest.raises(GateError, match="gives `cam` as"):
        OnnxRuntime(model.SerializeToString())
