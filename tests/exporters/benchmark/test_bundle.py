"""A bundle measured the whole way, in processes of their own; how fast it is, is no affair of a test."""

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
from exporters.benchmark.table import label
from exporters.benchmark.targets import engine_targets, onnx_targets, student_folder, torch_targets
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.files import read_json
from exporters.student.architectures import Architecture
from tests.exporters.conftest import Exported, make_student

FIGURES = {
    "batch", "p50_ms", "p95_ms", "p99_ms", "images_per_second", "calls", "rounds", "round_p50_ms", "resident_bytes",
    "times_as_fast_as",
}  # fmt: skip

MANIFEST = {
    "models": {
        "model.int8.trt.onnx": {"precision": "int8"}, "model.fp16.onnx": {"precision": "fp16"},
        "model.onnx": {"precision": "fp32"},
    },
    "files": {f"model{name}.onnx": {"size": size} for name, size in (("", 8), (".fp16", 4), (".int8.trt", 2))},
}  # fmt: skip


@pytest.fixture(scope="module")
def result(packed: Path, cifar: Exported) -> dict[str, Any]:
    return benchmark_bundle(packed, batches=(3, 1, 3), threads=(1,), seconds=0.0, student=cifar.export.path.parent)


def test_the_form_of_the_figures_is_stable(result: dict[str, Any], tmp_path: Path) -> None:
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


def test_ratios_are_those_of_the_rounds(result: dict[str, Any]) -> None:
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


def test_a_provider_that_is_not_there_is_no_other_one(packed: Path) -> None:
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
def test_settings_that_make_no_sense(packed: Path, mistake: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        benchmark_bundle(packed, **mistake)
    with pytest.raises(UsageError):
        benchmark_bundle(packed / "absent")


class TestTargets:
    def test_every_model_on_every_provider(self) -> None:
        parity = {"fp16": {"whole": {"candidate_accuracy": 0.5, "top1_agreement": 0.75}}, "fp32": "odd"}
        targets = onnx_targets(MANIFEST, parity, ("cpu", "tensorrt"))
        assert [target.name for target in targets] == [
            f"onnxruntime-{provider} {variant}"
            for provider in ("cpu", "tensorrt")
            for variant in ("fp32", "fp16", "int8.trt")
        ]
        fp32, fp16, int8 = targets[:3]
        assert (fp16.accuracy, fp16.agreement, fp16.size) == (0.5, 0.75, 4)
        assert (fp32.accuracy, int8.accuracy, int8.precision) == (None, None, "int8")

    def test_engines_where_they_can_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names = {"int8": "engines/model.int8.trt.plan", "fp32": "engines/model.plan"}
        manifest = {
            "engines": {
                name: {"precision": precision, "library": {"name": "tensorrt_rtx", "version": "1.7"}}
                for precision, name in names.items()
            },
            "files": {name: {"size": 5} for name in names.values()},
        }
        parity = {"engines": {"int8": {"whole": {"candidate_accuracy": 0.5, "top1_agreement": 0.75}}}}
        assert engine_targets({"files": {}}, parity) == ([], [])
        monkeypatch.setattr("exporters.benchmark.targets._cannot_run", lambda library: None)
        targets, notes = engine_targets(manifest, parity)
        assert [target.name for target in targets] == ["tensorrt_rtx-cuda fp32", "tensorrt_rtx-cuda int8.trt"]
        assert (targets[1].accuracy, targets[1].agreement, targets[1].size) == (0.5, 0.75, 5) and notes == []
        assert targets[1].torch_device == "cuda" and label(targets[1].runtime) == "TensorRT-RTX-CUDA"
        monkeypatch.setattr("exporters.benchmark.targets._cannot_run", lambda library: "no GPU")
        assert engine_targets(manifest, parity) == ([], ["engines were left out: no GPU"])

    def test_torch_is_measured_where_the_providers_are(self, cifar: Exported) -> None:
        folder = cifar.export.path.parent
        for providers, devices in (
            (("cpu",), ["cpu"]), (("cuda", "tensorrt"), ["cuda"]), (("tensorrt", "cpu"), ["cuda", "cpu"]),
        ):  # fmt: skip
            targets, notes = torch_targets(folder, folder, {}, providers)
            assert [target.device for target in targets] == devices and notes == []
            assert len(torch_targets(folder, folder, {}, providers, on_gpu=True)[0]) == (2 if "cpu" in providers else 1)
            assert targets[0].size == (folder / "student.safetensors").stat().st_size

    def test_without_torch(self, cifar: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = cifar.export.path.parent
        shutil.copytree(folder, tmp_path / "distill" / "chosen")
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        with pytest.raises(UnavailableError, match="torch is not installed"):
            torch_targets(tmp_path / "bundle", folder, {}, ("cpu",))
        assert torch_targets(tmp_path / "bundle", None, {}, ("cpu",)) == (
            [], ["torch eager was left out: torch is not installed"],
        )  # fmt: skip

    def test_a_student_is_found_in_its_folder_its_run_and_around_the_bundle(
        self, cifar: Exported, tmp_path: Path
    ) -> None:
        chosen = tmp_path / "run" / "distill" / "chosen"
        shutil.copytree(cifar.export.path.parent, chosen)
        assert student_folder(tmp_path / "other", chosen) == chosen
        assert student_folder(tmp_path / "other", tmp_path / "run") == chosen
        assert student_folder(tmp_path / "run" / "bundle", None) == chosen
        assert student_folder(tmp_path / "other" / "bundle", None) is None
        assert torch_targets(tmp_path / "other" / "bundle", None, {}, ("cpu",))[0] == []
        with pytest.raises(UsageError, match="no student here"):
            student_folder(tmp_path / "run" / "bundle", tmp_path)
