import re
import sys
from pathlib import Path

import onnx
import pytest

from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.files import sha256_bytes, sha256_file
from exporters.onnx.cam import find_cam_source, with_cam
from exporters.tensorrt import EngineSettings, build_engine, check_fresh, read_sidecar
from exporters.tensorrt.gpu import current_gpu
from exporters.tensorrt.libraries import Library
from tests.exporters.tensorrt.conftest import Models

SETTINGS = EngineSettings((1, 4, 8), workspace_bytes=2**28, compute_capabilities=("8.6", "8.9"))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", ["cifar:resnet8", "shufflenet_v2_x0_5", "cifar:vgg8"])
def test_engines_of_three_students_are_built(
    rtx: Library, students: dict[str, Models], name: str, precision: str, tmp_path: Path
) -> None:
    models = students[name]
    source: Path = getattr(models, precision)
    shares: list[float] = []
    built = build_engine(
        source,
        tmp_path / f"{precision}.plan",
        SETTINGS,
        precision=precision,
        library=rtx,
        progress=lambda phase, share: shares.append(share),
    )
    assert shares == sorted(shares) and shares[-1] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{precision}.plan", f"{precision}.plan.json"]
    plan, sidecar = built.path.read_bytes(), read_sidecar(built.sidecar_path)
    assert sidecar == built.sidecar
    assert check_fresh(built.path, built.sidecar_path, sha256_file(source)) == sidecar
    assert sidecar["library"] == {"name": "tensorrt_rtx", "version": rtx.version}
    gpu = current_gpu()
    assert sidecar["gpu"] == (gpu.name if gpu else "built without a GPU")
    assert sidecar["compute_capabilities"] == ["8.6", "8.9"]
    assert sidecar["precision"] == precision and sidecar["islands"] == []
    size = models.size
    assert sidecar["profile"] == {
        "image": {"min": [1, size, size, 3], "opt": [4, size, size, 3], "max": [8, size, size, 3]}
    }
    assert sidecar["settings"] == {
        "workspace_bytes": 2**28,
        "version_compatible": False,
        "hardware_compatible": False,
    }
    assert sidecar["onnx"] == {"sha256": sha256_file(source), "size": source.stat().st_size}
    assert sidecar["plan"] == {"sha256": sha256_bytes(plan), "size": len(plan)} and built.sha256 == sha256_bytes(plan)
    multiplying = [node for node in onnx.load(source).graph.node if node.op_type in {"Conv", "Gemm", "MatMul"}]
    assert sidecar["network"] == {"layers": {precision: len(multiplying)}, "apart": []}
    if gpu is None:
        assert sidecar["engine"] == {"not_inspected": "the engine cannot be loaded on this machine"}
    assert sidecar["timing_cache"] == "none" and sidecar["seconds"] > 0
    log = "\n".join(sidecar["log"])
    assert "INFO: " in log and not re.search(r"\s/\w+/", log)


def test_a_stale_engine_of_another_student_is_refused(
    rtx: Library, students: dict[str, Models], tmp_path: Path
) -> None:
    ours, other = students["cifar:resnet8"].fp32, students["cifar:vgg8"].fp32
    built = build_engine(ours, tmp_path / "a.plan", EngineSettings(), precision="fp32", library=rtx)
    with pytest.raises(GateError, match="stale"):
        check_fresh(built.path, built.sidecar_path, sha256_file(other))


def _fixed_batch(path: Path, out: Path, batch: int) -> Path:
    model = onnx.load(path)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]
    onnx.save(model, out)
    return out


def _renamed_output(path: Path, out: Path) -> Path:
    model = onnx.load(path)
    model.graph.output[0].name = "other"
    for node in model.graph.node:
        node.output[:] = ["other" if name == "logits" else name for name in node.output]
    onnx.save(model, out)
    return out


def test_a_fixed_batch_needs_no_profile(rtx: Library, resnet: Models, tmp_path: Path) -> None:
    source = _fixed_batch(resnet.fp32, tmp_path / "fixed.onnx", 2)
    with pytest.raises(UsageError, match="fixed at 2"):
        build_engine(source, tmp_path / "a.plan", EngineSettings(), precision="fp32", library=rtx)
    built = build_engine(source, tmp_path / "a.plan", EngineSettings(None), precision="fp32", library=rtx)
    assert built.sidecar["profile"] is None


def test_each_fault_is_one_clear_error_and_leaves_no_file(rtx: Library, resnet: Models, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    half, empty, text = made / "half.onnx", made / "empty.onnx", made / "text.onnx"
    half.write_bytes(resnet.fp32.read_bytes()[: resnet.fp32.stat().st_size // 2])
    empty.write_bytes(b"")
    text.write_bytes(b"hello")
    other = _renamed_output(resnet.fp32, made / "other.onnx")
    plain = EngineSettings((1, 4, 8))
    out = tmp_path / "out"
    turing = EngineSettings((1, 4, 8), compute_capabilities=("7.5",))
    faults: list[tuple[Path, EngineSettings, str, type[Exception], str, str]] = [
        (resnet.fp32, EngineSettings(None), "fp32", UsageError, "an engine needs to know", "min, opt and max"),
        (
            resnet.fp32,
            EngineSettings(compute_capabilities=("9.0",)),
            "fp32",
            UsageError,
            r"capability 9\.0",
            "8.6, 8.9",
        ),
        (resnet.int8_bias, plain, "int8", GateError, "biases are int32.*DequantizeLinear", "QuantizeBias=False"),
        (half, plain, "fp32", GateError, r"half\.onnx.*Failed to parse the ONNX model", ""),
        (empty, plain, "fp32", GateError, "not an ONNX model", ""),
        (text, plain, "fp32", GateError, "not an ONNX model", ""),
        (other, plain, "fp32", GateError, "give `logits`", ""),
        (
            resnet.fp32,
            plain,
            "fp16",
            GateError,
            r"not fp16: node_Conv_\d+ \(fp32\).* and 3 more",
            "build from one that is fp16",
        ),
        (resnet.fp16, plain, "fp32", GateError, "not fp32", ""),
        (resnet.fp32, plain, "int8", GateError, "not int8", ""),
        (resnet.fp32, plain, "fp8", UsageError, "fp8", "bf16"),
        (made / "none.onnx", plain, "fp32", UsageError, "cannot be read", ""),
        (resnet.fp32, turing, "fp32", GateError, "Turing", "7.5"),
    ]
    for source, settings, precision, error, match, remedy in faults:
        with pytest.raises(error, match=match) as caught:
            build_engine(source, out / "a.plan", settings, precision=precision, library=rtx)
        message = str(caught.value)
        assert remedy in message and "_src" not in message and "cudaError" not in message
        assert not out.exists()
    with pytest.raises(UsageError, match=r"ends in \.plan"):
        build_engine(resnet.fp32, out / "a.engine", plain, precision="fp32", library=rtx)


def test_missing_tensorrt_is_reported(resnet: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnavailableError, match="not installed"):
        build_engine(resnet.fp32, tmp_path / "a.plan", EngineSettings(), precision="fp32")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_class_activation_map_is_an_output_of_the_engine(
    rtx: Library, students: dict[str, Models], precision: str, tmp_path: Path
) -> None:
    models = next(iter(students.values()))
    source = find_cam_source(models.fp32.read_bytes())
    added = with_cam(getattr(models, precision).read_bytes(), source, dequantize_row=False)
    (tmp_path / "model.onnx").write_bytes(added.data)
    built = build_engine(
        tmp_path / "model.onnx",
        tmp_path / "model.plan",
        SETTINGS,
        precision=precision,
        fp32_nodes=added.kept_float,
        library=rtx,
    )
    layers = built.sidecar["network"]["layers"]
    assert precision in layers and built.sidecar["profile"]["image"]["max"][0] == 8
