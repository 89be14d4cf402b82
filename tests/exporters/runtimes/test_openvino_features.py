from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
import torch

from exporters.core.errors import GateError, UnavailableError
from exporters.onnx.features import export_features
from exporters.openvino import library
from exporters.runtimes import openvino_features
from exporters.runtimes.openvino_features import OpenVinoFeatures
from tests.exporters.onnx.test_features import Small


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "net.onnx"
    export_features(Small(), 9, ("logits", "feature_map"), path, "net")
    return path


def test_outputs_are_those_of_the_network_for_any_batch(path: Path) -> None:
    run = OpenVinoFeatures(path)
    for count in (1, 5, 2):
        images = torch.rand(count, 3, 9, 9).contiguous(memory_format=torch.channels_last)
        found = run(images)
        for ours, expected in zip(found, Small()(images), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_outputs_of_one_batch_outlive_the_next(path: Path) -> None:
    run = OpenVinoFeatures(path, threads=1)
    kept = run(torch.zeros(2, 3, 9, 9))
    before = [value.clone() for value in kept]
    run(torch.ones(2, 3, 9, 9))
    assert all(torch.equal(*pair) for pair in zip(kept, before, strict=True))
    assert all(value.is_contiguous() and not value.is_inference() for value in kept)


def test_two_loads_give_the_same_bits(path: Path) -> None:
    images = torch.rand(7, 3, 9, 9)
    first, second = (OpenVinoFeatures(path)(images) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_computes_in_fp32_unpinned_in_as_many_threads_as_pytorch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    found = library.find()

    def compile_model(network: Any, device: str, options: dict[str, Any]) -> Any:
        compiled = found.core.compile_model(network, device, options)
        seen.append({name: compiled.get_property(name) for name in options})
        return compiled

    core = SimpleNamespace(read_model=found.core.read_model, compile_model=compile_model)
    monkeypatch.setattr(openvino_features, "find", lambda: library.Library(found.module, core, found.version))
    OpenVinoFeatures(path)
    (options,) = seen
    assert options["INFERENCE_PRECISION_HINT"] == found.module.Type.f32
    assert (options["NUM_STREAMS"], options["ENABLE_CPU_PINNING"]) == (1, False)
    assert options["INFERENCE_NUM_THREADS"] == torch.get_num_threads()


def test_images_of_another_size_are_refused_with_a_reason(path: Path) -> None:
    run = OpenVinoFeatures(path)
    with pytest.raises(UnavailableError, match=r"OpenVINO 20\S+ fails on net\.onnx: \S") as caught:
        run(torch.zeros(2, 3, 8, 8))
    assert caught.value.exit_code == 4
    assert run(torch.zeros(2, 3, 9, 9))[0].shape == (2, 5)  # as before


def test_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no model")
    with pytest.raises(GateError, match=r"net\.onnx cannot be loaded by OpenVINO"):
        OpenVinoFeatures(tmp_path / "net.onnx")


def test_output_of_unknown_shape_is_refused(tmp_path: Path) -> None:
    value = [onnx.helper.make_tensor_value_info(name, 1, ["b", side]) for name, side in (("image", "s"), ("out", "s"))]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["image"], ["out"])], "g", value[:1], value[1:])
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10),
        tmp_path / "net.onnx",
    )
    with pytest.raises(GateError, match=r"the output out has a shape that is not known: \[\?,\?\]"):
        OpenVinoFeatures(tmp_path / "net.onnx")
