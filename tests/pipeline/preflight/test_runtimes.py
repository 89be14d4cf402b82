import sys

import onnxruntime
import pytest

from pipeline.preflight import runtimes
from tests.pipeline.preflight.conftest import Prospect


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is here")
def test_missing_provider_is_unavailable(prospect: Prospect) -> None:
    assert not prospect.report(runtimes.check_provider, "parity.provider=cpu").errors
    (error,) = prospect.report(runtimes.check_provider, "parity.provider=cuda").errors
    assert error.exit_code == 4 and error.message.startswith("parity.provider: ")


def test_tensorrt_is_not_asked_for_where_engines_are_not_required(prospect: Prospect) -> None:
    for check in (runtimes.check_library, runtimes.check_engines):
        assert not prospect.report(check, "export.tensorrt.when=available").errors


def test_openvino_is_looked_for_where_it_is_required(prospect: Prospect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    for when in ("never", "available"):
        assert not prospect.report(runtimes.check_openvino, f"export.openvino.when={when}").errors
    (error,) = prospect.report(runtimes.check_openvino, "export.openvino.when=required").errors
    assert error.exit_code == 4 and error.message.startswith("export.openvino: OpenVINO is not installed")
    assert error.remedy == "pip install 'tmkd-pipeline[openvino]'"


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is here")
def test_runtime_of_the_teachers_is_looked_for(prospect: Prospect) -> None:
    for runtime in ("auto", "torch", "onnxruntime", "openvino"):
        assert not prospect.report(runtimes.check_teacher_runtime, f"teacher.runtime={runtime}", "device=cpu").errors
    (error,) = prospect.report(runtimes.check_teacher_runtime, "teacher.runtime=tensorrt", "device=cpu").errors
    assert error.exit_code == 4 and error.message.startswith("teacher.runtime: tensorrt ")


def test_openvino_is_looked_for_where_it_is_to_run_the_teachers(
    prospect: Prospect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    options = "teacher.runtime=openvino", "device=cpu"
    (error,) = prospect.report(runtimes.check_teacher_runtime, *options).errors
    assert error.exit_code == 4 and error.message.startswith("teacher.runtime: OpenVINO is not installed")
    assert error.remedy == "pip install 'tmkd-pipeline[openvino]'"
    assert not prospect.report(runtimes.check_teacher_runtime, "teacher.runtime=auto", "device=cpu").errors
