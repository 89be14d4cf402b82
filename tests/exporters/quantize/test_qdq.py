import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from exporters import __version__
from exporters.core.errors import UsageError
from exporters.core.files import sha256_bytes
from exporters.onnx.reader import read_onnx
from exporters.parity import compare
from exporters.quantize import Calibration, Ranges, Target, quantize
from exporters.quantize.selection import Network
from exporters.runtimes import OnnxRuntime
from tests.exporters.conftest import Exported
from tests.exporters.quantize.conftest import arrays

CONV = "student.layer2.0.conv1.weight"
TARGETS: list[Target] = ["cpu", "tensorrt"]


@pytest.fixture(scope="module")
def cpu(cifar: Exported, cifar_ranges: Ranges) -> bytes:
    return quantize(cifar.data, cifar_ranges, target="cpu")


@pytest.fixture(scope="module")
def tensorrt(cifar: Exported, cifar_ranges: Ranges) -> bytes:
    return quantize(cifar.data, cifar_ranges, target="tensorrt")


@pytest.mark.parametrize(("target", "largest"), [("cpu", 64), ("tensorrt", 127)])
def test_weights_are_rounded_by_the_range_of_their_channel(
    cifar: Exported, cpu: bytes, tensorrt: bytes, target: str, largest: int
) -> None:
    found = arrays(cpu if target == "cpu" else tensorrt)
    weight = arrays(cifar.data)[CONV].astype(np.float64)
    scale = np.abs(weight).max(axis=(1, 2, 3)) / largest
    np.testing.assert_allclose(found[f"{CONV}_scale"], scale, rtol=1e-6)
    exact = weight / scale[:, None, None, None]
    integers = found[f"{CONV}_quantized"]
    assert integers.dtype == np.int8
    assert np.abs(integers - exact).max() <= 0.5001
    assert np.abs(integers).max(axis=(1, 2, 3)).tolist() == [largest] * len(integers)
    assert not found[f"{CONV}_zero_point"].any()


def test_cpu_activations_are_uint8_and_biases_int32(cifar: Exported, cifar_ranges: Ranges, cpu: bytes) -> None:
    found, before = arrays(cpu), arrays(cifar.data)
    for name in ("add", "relu", "getitem_6"):
        low, high = cifar_ranges.values[name]
        low, high = min(low, 0), max(high, 0)
        assert found[f"{name}_zero_point"].dtype == np.uint8
        assert found[f"{name}_scale"] == pytest.approx((high - low) / 255, rel=1e-6)
        assert found[f"{name}_zero_point"] == round(-low / ((high - low) / 255))
    steps = found["relu_2_scale"].astype(np.float64) * found[f"{CONV}_scale"]
    np.testing.assert_allclose(found[f"{CONV}_bias_quantized_scale"], steps, rtol=1e-6)
    assert found[f"{CONV}_bias_quantized"].dtype == np.int32
    np.testing.assert_allclose(found[f"{CONV}_bias_quantized"], before[f"{CONV}_bias"] / steps, atol=0.51, rtol=1e-5)


def test_tensorrt_activations_are_symmetric_and_biases_stay_float(
    cifar: Exported, cifar_ranges: Ranges, tensorrt: bytes
) -> None:
    found, before = arrays(tensorrt), arrays(cifar.data)
    assert found["add_scale"] == pytest.approx(max(map(abs, cifar_ranges.values["add"])) / 127, rel=1e-6)
    zero_points = {name: value for name, value in found.items() if name.endswith("_zero_point")}
    assert all(value.dtype == np.int8 and not value.any() for value in zero_points.values())
    np.testing.assert_array_equal(found[f"{CONV}_bias"], before[f"{CONV}_bias"])
    assert not any(value.dtype == np.int32 for value in found.values())
    producers = {output: node.op_type for node in onnx.load_from_string(tensorrt).graph.node for output in node.output}
    layers = [node for node in onnx.load_from_string(tensorrt).graph.node if node.op_type in {"Conv", "Gemm"}]
    assert len(layers) == 8
    assert all([producers[name] for name in node.input[:2]] == ["DequantizeLinear"] * 2 for node in layers)


def test_sums_of_two_products_fit_16_bits_except_in_depthwise_layers(
    shufflenet: Exported, shufflenet_ranges: Ranges
) -> None:
    found = arrays(quantize(shufflenet.data, shufflenet_ranges, target="cpu"))
    depthwise = {f"{name}_quantized" for name in Network(onnx.load_from_string(shufflenet.data)).depthwise()}
    weights = {name: np.abs(value.astype(int)).max() for name, value in found.items() if value.dtype == np.int8}
    weights = {name: value for name, value in weights.items() if name.endswith("_quantized")}
    assert depthwise < set(weights)
    assert all(value == (127 if name in depthwise else 64) for name, value in weights.items())
    assert 2 * 255 * 64 < 2**15


@pytest.mark.parametrize("target", TARGETS)
def test_quantized_file_keeps_interface_and_metadata(
    cifar: Exported, cpu: bytes, tensorrt: bytes, target: Target
) -> None:
    data = cpu if target == "cpu" else tensorrt
    model, base = onnx.load_from_string(data), onnx.load_from_string(cifar.data)
    onnx.checker.check_model(model, full_check=True)
    assert (model.producer_name, model.producer_version) == ("tmkd-pipeline", __version__)
    for field in ("ir_version", "opset_import", "metadata_props", "model_version"):
        assert getattr(model, field) == getattr(base, field)
    assert model.graph.input == base.graph.input
    assert model.graph.output == base.graph.output
    assert read_onnx(data).extras == []
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert model.graph.node[[node.op_type for node in model.graph.node].index("Gemm")].output == ["logits"]
    normalisation = {"node__to_copy", "node_permute", "node_mul_4", "node_add"}
    kept = {node.name: node for node in model.graph.node if node.name in normalisation}
    before = {node.name: node for node in base.graph.node if node.name in normalisation}
    assert kept == before
    assert len(data) < len(cifar.data) * 0.35


@pytest.mark.parametrize("target", TARGETS)
def test_quantized_file_keeps_the_answers(cifar: Exported, cpu: bytes, tensorrt: bytes, target: Target) -> None:
    result = compare(
        cifar.logits, OnnxRuntime(cpu if target == "cpu" else tensorrt).predict(cifar.images), None, [""] * 20
    )
    assert result.mean_scaled_error is not None
    assert result.mean_scaled_error < 0.03
    assert result.differing <= 1


def test_another_process_gives_the_same_bytes(
    cifar: Exported, shufflenet: Exported, shufflenet_ranges: Ranges, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", shufflenet.images)
    (tmp_path / "model.onnx").write_bytes(shufflenet.data)
    code = (
        "import sys, numpy as np; from pathlib import Path; from exporters.quantize import *\n"
        "from exporters.core.files import sha256_bytes\n"
        "data = Path('model.onnx').read_bytes(); images = np.load('images.npy')\n"
        "calibration = Calibration(lambda: iter([images]))\n"
        "print(sha256_bytes(quantize(data, calibration, target='cpu')))\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[3])}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [sha256_bytes(quantize(shufflenet.data, shufflenet_ranges, target="cpu"))]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.npy", "model.onnx"]
    assert run.stderr == ""


def test_layer_kept_in_float_is_unchanged(cifar: Exported, cifar_ranges: Ranges) -> None:
    layer = next(node.name for node in onnx.load_from_string(cifar.data).graph.node if CONV in node.input)
    for target in TARGETS:
        data = quantize(cifar.data, cifar_ranges, target=target, keep_float=[layer])
        np.testing.assert_array_equal(arrays(data)[CONV], arrays(cifar.data)[CONV])
        node = next(node for node in onnx.load_from_string(data).graph.node if node.name == layer)
        assert list(node.input[1:]) == [CONV, f"{CONV}_bias"]
        assert f"{CONV}_quantized" not in arrays(data)
        assert "student.layer2.0.conv2.weight_quantized" in arrays(data)


def test_float_layers_are_computed_in_float(cifar: Exported, cifar_ranges: Ranges) -> None:
    """ONNX Runtime would quantise the weights of a float layer between two others, with one scale for all channels."""
    layers = Network(onnx.load_from_string(cifar.data)).layers
    data = quantize(cifar.data, cifar_ranges, target="cpu", keep_float=layers[1::2])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (as_written,) = session.run(None, {"image": cifar.images})
    scale = np.abs(cifar.logits).max()
    assert np.abs(OnnxRuntime(data).predict(cifar.images) - as_written).max() < 0.01 * scale
    model = onnx.load_from_string(data)
    kept = [node for node in model.graph.node if node.op_type == "Max"]
    assert kept
    for node in kept:  # what it looks like without them
        reader = next(other for other in model.graph.node if node.output[0] in other.input)
        reader.input[0] = node.input[0]
    without = OnnxRuntime(model.SerializeToString()).predict(cifar.images)
    assert np.abs(without - as_written).max() > 0.01 * scale


def test_ranges_replace_images_only_for_the_same_model(
    cifar: Exported, cifar_ranges: Ranges, cpu: bytes, shufflenet: Exported
) -> None:
    assert quantize(cifar.data, Calibration(lambda: iter([cifar.images])), target="cpu") == cpu
    with pytest.raises(UsageError, match="measured on another model"):
        quantize(shufflenet.data, cifar_ranges, target="cpu")


def test_quantization_prints_and_logs_nothing(
    cifar: Exported, cifar_ranges: Ranges, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    quantize(cifar.data, cifar_ranges, target="cpu")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert logging.root.manager.disable == 0


def test_tensorrt_builds_its_own_form_and_refuses_the_cpu_form(cpu: bytes, tensorrt: bytes) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    builder = trt.Builder(trt.Logger(trt.Logger.INTERNAL_ERROR))

    def parsed(data: bytes) -> tuple[bool, object, object]:
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, trt.Logger(trt.Logger.INTERNAL_ERROR))
        return parser.parse(data), network, parser

    assert not parsed(cpu)[0]
    done, network, parser = parsed(tensorrt)
    assert done, parser
    configuration, profile = builder.create_builder_config(), builder.create_optimization_profile()
    profile.set_shape("image", (1, 32, 32, 3), (4, 32, 32, 3), (8, 32, 32, 3))
    configuration.add_optimization_profile(profile)
    configuration.num_compute_capabilities = 1
    configuration.set_compute_capability(trt.ComputeCapability.SM86, 0)
    plan = builder.build_serialized_network(network, configuration)
    assert plan is not None
    assert plan.nbytes > 10_000
