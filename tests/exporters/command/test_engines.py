"""Engines of an export: proved on a GPU or reported as unproved; a required one must be proved."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

pytest.importorskip("tensorrt_rtx")

from exporters.artifacts.engines import build_engines
from exporters.command import EngineRequest, ExportRequest, export_checkpoint
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.files import sha256_file
from exporters.student.checkpoint import LoadedCheckpoint
from exporters.tensorrt import EngineSettings, build_engine, read_sidecar, sidecar_path
from exporters.tensorrt.gpu import current_gpu
from tests.exporters.command.conftest import Exports, Trained
from tests.exporters.engine_runtime import stand_in
from tests.exporters.onnx.planting import convolutions, scale, weights_of

SETTINGS = EngineSettings((1, 4, 8))
PLAIN = ["audit.json", "labels.json", "model.onnx", "parity.json", "preprocess.json"]
without_gpu = pytest.mark.skipif(current_gpu() is not None, reason="a GPU is here")


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def export(trained: Trained, out: Path, said: list[str] | None = None, **asked: Any) -> dict[str, Any]:
    options = {key: asked.pop(key) for key in ("any_size", "probabilities") if key in asked}
    engines = EngineRequest(SETTINGS, asked.pop("required"))
    request = ExportRequest(engines=engines, **asked)
    say = print if said is None else said.append
    return export_checkpoint(
        LoadedCheckpoint(trained.student), out, data=trained.unseen, request=request, say=say, **options
    )


def test_a_proved_engine_ships_with_the_file_that_it_was_built_from(
    trained: Trained, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    exports(trained.model)
    report = export(trained, tmp_path, precisions=("fp16",), onnx=False, required=True)
    plan = tmp_path / "engines" / "model.fp16.plan"
    assert files(tmp_path) == sorted(
        [*PLAIN, "engines/model.fp16.plan", "engines/model.fp16.plan.json", "model.fp16.onnx"]
    )
    assert report["engines"]["fp16"]["status"] == "shipped" and report["engines"]["fp16"]["passed"]
    assert "ships with it" in report["fp16"]["reason"]
    sidecar = read_sidecar(sidecar_path(plan))
    assert sidecar["onnx"]["sha256"] == sha256_file(tmp_path / "model.fp16.onnx")
    assert sidecar["plan"]["sha256"] == sha256_file(plan)
    assert sidecar["profile"]["image"]["max"] == [8, 32, 32, 3]
    assert json.loads((tmp_path / "parity.json").read_text()) == report


@pytest.mark.parametrize("required", [True, False])
def test_an_engine_that_answers_otherwise_is_rejected(
    trained: Trained, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    stand_in(monkeypatch, error=0.5)
    exports(trained.model)
    rejected = [f"rejected/model.plan{suffix}" for suffix in ("", ".json", ".parity.json")]
    if required:
        with pytest.raises(GateError, match=r"model\.plan must ship and is rejected: .*largest error") as caught:
            export(trained, tmp_path, required=True)
        assert files(tmp_path) == rejected and "--tensorrt available" in str(caught.value.remedy)
    else:
        report = export(trained, tmp_path, required=False)
        assert files(tmp_path) == sorted([*PLAIN, *rejected]) and report["engines"]["fp32"]["status"] == "rejected"


@without_gpu
def test_engine_without_a_gpu_is_refused_or_left_unproved(trained: Trained, exports: Exports, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="torch finds none here") as caught:
        export(trained, tmp_path / "out", required=True)
    assert "--tensorrt available" in str(caught.value.remedy) and not (tmp_path / "out").exists()
    exports(trained.model)
    said: list[str] = []
    report = export(trained, tmp_path / "out", said, required=False)
    assert files(tmp_path / "out") == sorted(
        [*PLAIN, *(f"unproved/model.plan{suffix}" for suffix in ("", ".json", ".parity.json"))]
    )
    assert report["engines"]["fp32"]["status"] == "not proved" and not report["engines"]["fp32"]["passed"]
    assert any("not proved" in line and "unproved/ holds it" in line for line in said)
    exports(trained.model)
    export_checkpoint(LoadedCheckpoint(trained.student), tmp_path / "out", data=trained.unseen)
    assert files(tmp_path / "out") == PLAIN and not (tmp_path / "out" / "unproved").exists()


def test_missing_tensorrt_is_refused_or_noted(
    trained: Trained, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnavailableError, match="not installed or cannot be imported"):
        export(trained, tmp_path / "out", required=True)
    exports(trained.model)
    said: list[str] = []
    report = export(trained, tmp_path / "out", said, required=False)
    assert files(tmp_path / "out") == PLAIN and report["engines"]["fp32"]["status"] == "not made"
    assert any(line.startswith("no TensorRT engine is made") for line in said)


def test_stale_engine_of_another_student_is_refused(
    trained: Trained, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = onnx.load_from_string(trained.model)
    scale(weights_of(other, convolutions(other)[1])[0], 1.5)
    (tmp_path / "other.onnx").write_bytes(other.SerializeToString())
    stale = build_engine(tmp_path / "other.onnx", tmp_path / "stale.plan", SETTINGS, precision="fp32")

    def make_stale(precisions: Any, models: Any, folder: Path, *arguments: Any, **options: Any) -> Any:
        made = build_engines(precisions, models, folder, *arguments, **options)
        shutil.copy(stale.path, folder / "model.plan")
        shutil.copy(stale.sidecar_path, sidecar_path(folder / "model.plan"))
        return made

    stand_in(monkeypatch)
    monkeypatch.setattr("exporters.artifacts.engines.build_engines", make_stale)
    exports(trained.model)
    with pytest.raises(GateError, match="stale, it was built from another ONNX file"):
        export(trained, tmp_path / "out", required=False)
    assert files(tmp_path / "out") == []


def test_an_engine_of_a_rejected_file_is_not_built(
    trained: Trained, exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise GateError("planted")

    exports(trained.model)
    monkeypatch.setattr("exporters.artifacts.variants.make_variant", fail)
    report = export(trained, tmp_path, precisions=("fp16",), required=False)
    assert report["engines"]["fp16"]["status"] == "not made" and files(tmp_path) == PLAIN
    assert report["engines"]["fp16"]["reason"] == "model.fp16.onnx, which it is built from, could not be made"


@pytest.mark.parametrize("form", ["any_size", "probabilities"])
def test_onnx_only_options_are_refused_for_engines(trained: Trained, tmp_path: Path, form: str) -> None:
    with pytest.raises(UsageError, match=f"--{form.replace('_', '-')} is for ONNX files"):
        export(trained, tmp_path / "out", required=False, **{form: True})
    assert not (tmp_path / "out").exists()
