"""Which models, engines and students of a bundle are measured."""

import shutil
from pathlib import Path

import pytest

from exporters.benchmark.table import label
from exporters.benchmark.targets import engine_targets, onnx_targets, student_folder, torch_targets
from exporters.core.errors import UnavailableError, UsageError
from tests.exporters.conftest import Exported

MANIFEST = {
    "models": {
        "model.int8.trt.onnx": {"precision": "int8"}, "model.fp16.onnx": {"precision": "fp16"},
        "model.onnx": {"precision": "fp32"},
    },
    "files": {f"model{name}.onnx": {"size": size} for name, size in (("", 8), (".fp16", 4), (".int8.trt", 2))},
}  # fmt: skip


class TestTargets:
    def test_every_model_is_measured_on_every_provider(self) -> None:
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

    def test_engines_are_measured_only_where_they_can_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
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

    def test_torch_runs_on_the_devices_of_the_providers(self, cifar: Exported) -> None:
        folder = cifar.export.path.parent
        for providers, devices in (
            (("cpu",), ["cpu"]), (("cuda", "tensorrt"), ["cuda"]), (("tensorrt", "cpu"), ["cuda", "cpu"]),
        ):  # fmt: skip
            targets, notes = torch_targets(folder, folder, {}, providers)
            assert [target.device for target in targets] == devices and notes == []
            assert len(torch_targets(folder, folder, {}, providers, on_gpu=True)[0]) == (2 if "cpu" in providers else 1)
            assert targets[0].size == (folder / "student.safetensors").stat().st_size

    def test_missing_torch_is_refused_or_noted(
        self, cifar: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
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
