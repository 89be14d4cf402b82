"""Everything but the GPU's own part: what is tried on which file, what the table says, and the exit codes."""

from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from benchmarks.gpu_check import Source, main, missing, precision_of, read_source, run, to_markdown
from exporters.onnx.export import export_onnx
from exporters.runtimes import TorchRuntime
from exporters.student.architectures import Architecture
from exporters.tensorrt.gpu import current_gpu
from tests.exporters.conftest import make_student, random_images
from tests.exporters.tensorrt.conftest import to_fp16


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("student")
    student = make_student(folder, Architecture("resnet8", "cifar"), 32)
    model = export_onnx(student, folder / "model.onnx").path
    half = to_fp16(model, folder / "half.onnx")
    images = random_images(12, 32)
    models = {"model.onnx": model.read_bytes(), "half.onnx": half.read_bytes(), "wrong.onnx": _broken(model)}
    batches = [(images, np.arange(12) % 7, [f"{index}.jpg" for index in range(12)])]
    return Source(TorchRuntime(student), batches, models)


def _broken(path: Path) -> bytes:
    model = onnx.load(path)
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = np.frombuffer(weight.raw_data, np.float32)
    weight.raw_data = values[::-1].tobytes()
    return bytes(model.SerializeToString())


def test_every_runtime_is_tried_on_every_file(source: Source, tmp_path: Path) -> None:
    rows = run(source, tmp_path)
    tried = {(row.file, row.runtime): row for row in rows}
    runtimes = {"onnxruntime cpu", "onnxruntime cuda", "onnxruntime tensorrt", "tensorrt", "tensorrt_rtx"}
    assert set(tried) == {(file, runtime) for file in source.models for runtime in runtimes}
    assert [tried[file, "onnxruntime cpu"].status for file in source.models] == ["passed", "passed", "failed"]
    assert tried["half.onnx", "onnxruntime cpu"].precision == "fp16"
    if current_gpu() is None:
        rest = [row for row in rows if row.runtime != "onnxruntime cpu"]
        assert {row.status for row in rest} == {"not run"} and all(row.told for row in rest)
    table = to_markdown(rows, "none", 12)
    assert "on 12 images" in table and len(table.splitlines()) == 4 + len(rows)


def test_precision_is_read_from_the_file(source: Source) -> None:
    assert [precision_of(data) for data in source.models.values()] == ["fp32", "fp16", "fp32"]


def test_without_a_gpu_the_missing_parts_are_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.gpu_check.current_gpu", lambda: None)
    assert "an NVIDIA GPU that torch can use" in missing()
    with pytest.raises(SystemExit) as left:
        main([str(tmp_path), "--out", str(tmp_path / "out")])
    assert left.value.code == 4
    message = capsys.readouterr().err
    assert all(lack in message for lack in missing()) and "make gpu-check" in message
    assert not (tmp_path / "out").exists()


def test_missing_source_folder_is_refused(tmp_path: Path) -> None:
    from exporters.core.errors import UsageError

    with pytest.raises(UsageError, match="no such folder"):
        read_source(tmp_path / "none", 10)
