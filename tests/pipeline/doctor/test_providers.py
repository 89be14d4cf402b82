"""ONNX Runtime's packages and providers. Sessions are real; they are opened in processes of their own."""

import importlib.metadata
import sys
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from pipeline.doctor import providers
from pipeline.doctor.finding import Finding
from pipeline.doctor.providers import ONE_NODE, examine_onnx_runtime, examine_tensorrt, why_it_does_not_run


def by_name(has_nvidia: bool = False) -> dict[str, Finding]:
    return {each.about: each for each in examine_onnx_runtime(has_nvidia)}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    return found


def test_the_file_of_one_node_is_sound() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(ONE_NODE)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Relu"]


def test_cpu_provider_is_tried_and_runs() -> None:
    pytest.importorskip("onnxruntime")
    assert why_it_does_not_run("CPUExecutionProvider") is None


def test_both_packages_at_once_are_a_fault(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "why_it_does_not_run", lambda provider: None)
    installed |= {"onnxruntime": "1.31", "onnxruntime-gpu": "1.31"}
    for has_nvidia, kept in ((True, "onnxruntime-gpu"), (False, "onnxruntime")):
        finding = by_name(has_nvidia)["ONNX Runtime"]
        assert finding.state == "fault" and finding.remedy.endswith(f"pip install {kept}")
    del installed["onnxruntime-gpu"]
    assert by_name()["ONNX Runtime"].state == "ok"


def test_no_package_is_noted(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "find_spec", lambda name: None)
    assert by_name()["ONNX Runtime"].state == "note"
    installed["onnxruntime"] = "1.31"
    assert by_name()["module onnxruntime"].state == "fault"  # as uninstalling the other of two leaves it


def test_provider_that_is_listed_and_does_not_run_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(providers, "why_it_does_not_run", lambda provider: "libcudnn.so.9 is missing")
    assert by_name(has_nvidia=True)["CUDAExecutionProvider"].state == "fault"
    assert by_name(has_nvidia=False)["CUDAExecutionProvider"].state == "note"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit('no such library')", "no such library"),
        ("import os; os.kill(os.getpid(), 11)", "ended by signal 11"),
        ("import time; time.sleep(30)", "did not answer"),
        ("pass", "gives no answer"),
        ("print('[1]')", "gives no answer"),
        ("import json; print(json.dumps({'providers': ['X'], 'answer': [0.0, 2.0]}))", "falls back to X"),
        ("import json; print(json.dumps({'providers': ['P'], 'answer': [0.0, 3.0]}))", "the numbers are wrong"),
    ],
)
def test_session_that_fails_in_any_way_is_reported(program: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "_TRY", program)
    monkeypatch.setattr(providers, "_SECONDS", 60 if "sleep" not in program else 0.2)
    told = why_it_does_not_run("P")
    assert told is not None and reason in told


def test_process_that_cannot_be_started_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    told = why_it_does_not_run("P")
    assert told is not None and "no process" in told


def test_missing_tensorrt_is_no_fault_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise UnavailableError(f"{name} is not installed", remedy="pip install it")

    monkeypatch.setattr(providers, "find", missing)
    assert [each.state for each in examine_tensorrt()] == ["note", "note"]
