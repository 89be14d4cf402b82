"""A bundle benchmarked end to end, each runtime in its own process; the speed itself is not tested."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exporters.benchmark.bundle as module
from exporters.benchmark.bundle import benchmark_bundle
from exporters.benchmark.child import Child
from exporters.benchmark.report import write_report
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.files import read_json
from exporters.student.architectures import Architecture
from tests.exporters.conftest import Exported, make_student

FIGURES = {
    "batch", "p50_ms", "p95_ms", "p99_ms", "images_per_second", "calls", "rounds", "round_p50_ms", "resident_bytes",
    "times_as_fast_as",
}  # fmt: skip


@pytest.fixture(scope="module")
def result(packed: Path, cifar: Exported) -> dict[str, Any]:
    return benchmark_bundle(packed, batches=(3, 1, 3), threads=(1,), seconds=0.0, student=cifar.export.path.parent)


def test_result_format_is_stable(result: dict[str, Any], tmp_path: Path) -> None:
    assert set(result) == {"format", "student", "image", "machine", "settings", "notes", "results"}
    assert result["format"] == "tmkd-benchmark/1" and result["image"] == [32, 32, 3] and result["notes"] == []
    assert result["settings"] == {"batches": [1, 3], "threads": [1], "seconds": 0.0, "providers": ["cpu"]}
    assert result["student"]["name"] == "finches" and result["student"]["architecture"] == "cifar:resnet8"
    torch, onnx = result["results"]
    for entry in (torch, onnx):
        assert set(entry) == {
            "runtime", "model", "variant", "precision", "bytes", "accuracy", "agreement", "threads", "batches",
        }  # fmt: skip
        assert [set(figures) for figures in entry["batches"]] == [FIGURES] * 2
        for figures in entry["batches"]:
            assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
            assert figures["rounds"] == len(figures["round_p50_ms"]) == figures["calls"] == 5
    assert (torch["runtime"], torch["model"], torch["agreement"]) == ("torch-cpu", None, None)
    assert (onnx["runtime"], onnx["model"], onnx["precision"]) == ("onnxruntime-cpu", "model.onnx", "fp32")
    assert torch["accuracy"] == onnx["accuracy"] == onnx["agreement"] == 1.0
    assert write_report(result, tmp_path)[:2] == ["benchmark.json", "benchmark.md"]
    assert read_json(tmp_path / "benchmark.json") == json.loads(json.dumps(result))


def test_ratios_follow_from_the_medians_of_the_rounds(result: dict[str, Any]) -> None:
    torch, onnx = result["results"]
    for ours, theirs in zip(onnx["batches"], torch["batches"], strict=True):
        ratio = ours["times_as_fast_as"]["torch"]
        expected = np.median(theirs["round_p50_ms"]) / np.median(ours["round_p50_ms"])
        assert ratio["ratio"] == pytest.approx(expected, rel=1e-3)
        assert ratio["low"] <= ratio["ratio"] <= ratio["high"]
        assert ours["times_as_fast_as"]["fp32"] is None  # it is that file itself
        assert theirs["times_as_fast_as"] == {"torch": None, "fp32": None}


def test_torch_takes_more_memory_than_onnx_runtime_because_each_is_alone(result: dict[str, Any]) -> None:
    torch, onnx = (entry["batches"][0]["resident_bytes"] for entry in result["results"])
    assert (torch is None and onnx is None) or torch > onnx > 0


def test_nothing_is_written_into_the_bundle(result: dict[str, Any], packed: Path) -> None:
    assert {path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file()} == {
        *read_json(packed / "manifest.json")["files"], "manifest.json", "manifest.sha256",
    }  # fmt: skip


def test_another_student_is_refused_where_it_was_asked_for_and_left_out_where_it_was_found(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, chosen = tmp_path / "run" / "bundle", tmp_path / "run" / "distill" / "chosen"
    shutil.copytree(packed, bundle)
    make_student(chosen, Architecture("resnet8", "cifar"), 32)
    logits = np.ones((8, 7), np.float32)
    monkeypatch.setattr(Child, "logits", lambda _self: logits)  # of a student that answers otherwise
    monkeypatch.setattr(Child, "load_torch", lambda *_: None)  # torch need not be loaded for that
    with pytest.raises(UsageError, match="not the student of this bundle"):
        benchmark_bundle(bundle, batches=(1,), threads=(1,), seconds=0.0, student=tmp_path / "run")
    result = benchmark_bundle(bundle, batches=(1,), threads=(1,), seconds=0.0)
    assert [entry["runtime"] for entry in result["results"]] == ["onnxruntime-cpu"]
    assert len(result["notes"]) == 1 and "not the student of this bundle" in result["notes"][0]


def test_a_batch_that_would_not_fit_is_left_out_with_a_note(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_bytes", lambda: 1)
    monkeypatch.setattr(module, "_resident", lambda children: next(sizes))
    sizes = iter([100, 1_000_000_100])
    done = []
    result = benchmark_bundle(
        packed, batches=(2, 4, 8), threads=(1,), seconds=0.0, progress=lambda *numbers: done.append(numbers)
    )
    (onnx,) = result["results"]
    assert [figures["batch"] for figures in onnx["batches"]] == [2] and done == [(1, 3)]
    assert result["notes"][-1].startswith("batch 4 and larger with 1 thread was left out: it would take about 1.0 GB")


def test_a_damaged_model_is_named_before_it_is_loaded(packed: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(packed, bundle)
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(data)
    with pytest.raises(GateError, match=r"^model\.onnx: damaged"):
        benchmark_bundle(bundle)


def test_missing_provider_is_not_replaced_by_another(packed: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(UnavailableError, match="CUDAExecutionProvider"):
        benchmark_bundle(packed, providers=("cpu", "cuda"), threads=(1,), seconds=0.0)


@pytest.mark.parametrize(
    "mistake",
    [
        {"batches": ()}, {"batches": (0,)}, {"threads": (1, -1)}, {"threads": ()}, {"seconds": -1.0},
        {"seconds": float("nan")}, {"providers": ("npu",)}, {"providers": ()}, {"student": Path("nowhere")},
    ],
)  # fmt: skip
def test_invalid_settings_are_refused(packed: Path, mistake: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        benchmark_bundle(packed, **mistake)
    with pytest.raises(UsageError):
        benchmark_bundle(packed / "absent")
