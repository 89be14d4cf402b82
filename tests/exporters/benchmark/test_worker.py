"""A runtime in a process of its own: what it answers, and how its failures come back."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.benchmark.worker import serve
from exporters.core.arrays import npz_bytes
from exporters.runtimes import OnnxRuntime
from tests.exporters.conftest import Exported


def ask(*requests: tuple[dict[str, Any], bytes]) -> list[dict[str, Any]]:
    """The answers of a worker in this process."""
    stream, replies = io.BytesIO(), io.BytesIO()
    for request, payload in requests:
        stream.write(json.dumps(request).encode() + b"\n" + payload)
    stream.seek(0)
    serve(stream, replies)
    return [json.loads(line) for line in replies.getvalue().splitlines()]


def onnx_request(images: np.ndarray, model: bytes, device: str = "cpu") -> tuple[dict[str, Any], bytes]:
    payload = npz_bytes("image", images)
    lengths = {"images": len(payload), "model": len(model)}
    return {"do": "load", "kind": "onnx", "device": device, "threads": 1, **lengths}, payload + model


def test_a_worker_answers_in_order(cifar: Exported) -> None:
    loaded, logits, times = ask(
        onnx_request(cifar.images, cifar.data), ({"do": "logits"}, b""), ({"do": "time", "batch": 3, "calls": 4}, b"")
    )
    assert set(loaded) == {"resident_bytes"}
    np.testing.assert_allclose(np.float32(logits["logits"]), cifar.logits, atol=1e-4 * np.abs(cifar.logits).max())
    assert len(times["seconds"]) == 4 and min(times["seconds"]) >= 0
    if Path("/proc/self/status").exists():
        assert times["resident_bytes"] > 1_000_000


def test_worker_runs_torch_students_and_reports_failures(cifar: Exported, tmp_path: Path) -> None:
    payload = npz_bytes("image", cifar.images)
    request = {"do": "load", "kind": "torch", "device": "cpu", "threads": 1, "images": len(payload), "model": 0}
    folder = str(cifar.export.path.parent)
    early, loaded, logits, absent, provider, broken, after = ask(
        ({"do": "logits"}, b""),
        ({**request, "student": folder}, payload),
        ({"do": "logits"}, b""),
        ({**request, "student": str(tmp_path)}, payload),
        onnx_request(cifar.images, cifar.data, "npu"),
        onnx_request(cifar.images, cifar.data[:100]),
        ({"do": "logits"}, b""),
    )
    assert "error" in early and "error" not in loaded
    assert np.array_equal(np.float32(logits["logits"]), cifar.logits)
    assert [answer["error"]["exit_code"] for answer in (early, absent, provider, broken)] == [4, 4, 2, 3]
    assert after["logits"] == logits["logits"]  # what failed to load replaces nothing


def test_a_worker_loads_an_engine_by_its_hash(cifar: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def stand_in(plan: bytes, sha256: str, library: str) -> OnnxRuntime:
        asked.append((sha256, library))
        return OnnxRuntime(plan)  # here the plan is the file itself

    monkeypatch.setattr("exporters.runtimes.tensorrt.TensorRTRuntime", stand_in)
    request, payload = onnx_request(cifar.images, cifar.data, "tensorrt_rtx")
    loaded, logits = ask(({**request, "kind": "engine", "sha256": "ab" * 32}, payload), ({"do": "logits"}, b""))
    assert "error" not in loaded and asked == [("ab" * 32, "tensorrt_rtx")]
    np.testing.assert_allclose(np.float32(logits["logits"]), cifar.logits, atol=1e-4 * np.abs(cifar.logits).max())
