import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from exporters.core.errors import UsageError
from exporters.fp16.convert import emulate_fp16, to_fp16
from exporters.onnx import intermediates
from exporters.onnx.deviation import first_deviation
from tests.exporters.conftest import Exported
from tests.exporters.onnx.planting import chain, convolutions, overflowing, weights_of

WEIGHTS = [np.random.default_rng(seed).normal(size=shape) for seed, shape in enumerate([(3, 6), (6, 6), (6, 4)])]
IMAGES = np.random.default_rng(9).integers(0, 256, (5, 2, 2, 3)).astype(np.uint8)


def values_of(weights: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What `chain` computes, in float64."""
    x = IMAGES.astype(np.float64).mean(axis=(1, 2))
    values = {"mean": x}
    for index, weight in enumerate(weights[:-1]):
        values[f"product{index}"] = x @ weight
        x = values[f"relu{index}"] = np.maximum(x @ weight, 0)
    return values | {"logits": x @ weights[-1]}


def test_the_error_is_the_largest_difference_over_the_largest_value() -> None:
    changed = [WEIGHTS[0], WEIGHTS[1] + 0.01, WEIGHTS[2]]
    own, other = values_of(WEIGHTS), values_of(changed)
    errors = {name: float(np.abs(own[name] - other[name]).max() / np.abs(own[name]).max()) for name in own}
    found = first_deviation(chain(WEIGHTS), chain(changed), IMAGES, bound=1e-4)
    assert found is not None and found.before is not None
    assert (found.node, found.operator, found.tensor) == ("matmul1", "MatMul", "product1")
    assert found.scaled_error == pytest.approx(errors["product1"], rel=1e-4)
    assert found.before.tensor == "relu0" and found.before.scaled_error == 0
    assert not found.non_finite and found.unmatched == () and found.runs == len(IMAGES)
    assert first_deviation(chain(WEIGHTS), chain(changed), IMAGES, bound=1.01 * max(errors.values())) is None


def test_memory_is_bounded_by_more_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = [WEIGHTS[0], WEIGHTS[1], WEIGHTS[2] * 1.1]
    at_once = first_deviation(chain(WEIGHTS), chain(changed), IMAGES, bound=1e-3)
    monkeypatch.setattr(intermediates, "_RUN_BYTES", 50)  # two values of six numbers
    in_parts = first_deviation(chain(WEIGHTS), chain(changed), IMAGES, bound=1e-3)
    assert at_once is not None and in_parts is not None
    assert (in_parts.node, in_parts.before) == (at_once.node, at_once.before) == ("matmul2", at_once.before)
    assert in_parts.runs > at_once.runs


def test_deviation_that_disappears_again_is_found() -> None:
    """The logits agree but inner values do not: bisection from the end would find nothing."""
    changed = [WEIGHTS[0] * 4, WEIGHTS[1] / 4, WEIGHTS[2]]
    found = first_deviation(chain(WEIGHTS), chain(changed), IMAGES, bound=1e-3)
    assert found is not None and found.node == "matmul0" and found.scaled_error == pytest.approx(3, rel=1e-5)


def test_a_changed_weight_is_named_in_each_convolution(cifar: Exported) -> None:
    images = cifar.images[:2]
    assert first_deviation(cifar.data, cifar.data, images, bound=1e-9) is None
    for index in range(0, 7, 3):
        model = onnx.load_from_string(cifar.data)
        node = convolutions(model)[index]
        tensor = weights_of(model, node)[0]
        values = numpy_helper.to_array(tensor).copy()
        flat = values.reshape(-1)
        flat[np.abs(flat).argmax()] *= 1.5
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        found = first_deviation(cifar.data, model.SerializeToString(), images, bound=1e-4)
        assert found is not None and found.node == node.name and found.operator == "Conv"


def test_dropped_normalisation_is_named(cifar: Exported) -> None:
    model = onnx.load_from_string(cifar.data)
    first = convolutions(model)[0]
    nodes = {node.op_type: node for node in reversed(model.graph.node)}
    mul, add, transpose = nodes["Mul"], nodes["Add"], nodes["Transpose"]
    first.input[0] = transpose.output[0]
    names = [mul.name, add.name]
    model.graph.node.remove(mul)
    model.graph.node.remove(add)
    del model.graph.value_info[:]
    found = first_deviation(cifar.data, model.SerializeToString(), cifar.images[:2], bound=1e-3)
    assert found is not None and found.before is not None
    assert found.node == first.name and found.before.tensor == transpose.output[0]
    assert found.unmatched == tuple(names)


def test_swapped_channels_are_named(cifar: Exported) -> None:
    model = onnx.load_from_string(cifar.data)
    first = convolutions(model)[0]
    tensor = weights_of(model, first)[0]
    values = np.ascontiguousarray(numpy_helper.to_array(tensor)[:, ::-1])
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    found = first_deviation(cifar.data, model.SerializeToString(), cifar.images[:2], bound=1e-3)
    assert found is not None and found.node == first.name


def test_fp16_agrees_until_it_overflows(cifar: Exported) -> None:
    images = cifar.images[:2]
    assert first_deviation(cifar.data, emulate_fp16(to_fp16(cifar.data)), images, bound=1e-2) is None
    planted, loud, quiet = overflowing(cifar.data)
    # The two convolutions stay fp32 for their weights; the ReLU between them does not.
    half = emulate_fp16(to_fp16(planted))
    found = first_deviation(planted, half, images, bound=1e-2)
    assert found is not None and found.operator == "Relu" and found.non_finite
    assert found.before is not None
    relu = next(node for node in onnx.load_from_string(planted).graph.node if node.name == found.node)
    conv = next(node for node in onnx.load_from_string(planted).graph.node if node.name == loud)
    assert relu.input[0] == conv.output[0] == found.before.tensor
    assert json.loads(json.dumps(found.to_json()))["scaled_error"] is None
    kept = emulate_fp16(to_fp16(planted, keep_float=[found.node]))
    assert first_deviation(planted, kept, images, bound=1e-2) is None
    assert quiet != loud


def test_int8_is_compared_after_dequantization(cifar: Exported, tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.batches: Iterator[dict[str, np.ndarray]] = iter([{"image": cifar.images}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.batches, None)

    (tmp_path / "fp32.onnx").write_bytes(cifar.data)
    quantization.quantize_static(
        str(tmp_path / "fp32.onnx"),
        str(tmp_path / "int8.onnx"),
        Reader(),
        per_channel=True,
        op_types_to_quantize=["Conv", "Relu", "Add", "Gemm"],
    )
    int8 = (tmp_path / "int8.onnx").read_bytes()
    images = cifar.images[:3]
    assert first_deviation(cifar.data, int8, images, bound=0.2) is None
    found = first_deviation(cifar.data, int8, images, bound=1e-4)
    assert found is not None and "Dequantize" in found.compared
    model = onnx.load_from_string(int8)
    conv = convolutions(model)[3]
    scales = {tensor.name: tensor for tensor in model.graph.initializer}
    dequantise = next(node for node in model.graph.node if node.output[0] == conv.input[1])
    tensor = scales[dequantise.input[1]]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(2), tensor.name))
    found = first_deviation(cifar.data, model.SerializeToString(), images, bound=0.2)
    assert found is not None
    source = onnx.load_from_string(cifar.data)
    original = convolutions(source)[3]
    allowed = {original.name} | {node.name for node in source.graph.node if original.output[0] in node.input}
    assert found.node in allowed


def test_models_that_cannot_be_compared_are_refused(cifar: Exported) -> None:
    with pytest.raises(UsageError, match="no images"):
        first_deviation(cifar.data, cifar.data, cifar.images[:0], bound=0.1)
    with pytest.raises(UsageError, match="no value in common"):
        model = onnx.load_from_string(chain(WEIGHTS))
        for node in model.graph.node:
            node.output[0] += "_other"
            node.input[0] += "_other" if node.input[0] != "image" else ""
        model.graph.output[0].name += "_other"
        first_deviation(chain(WEIGHTS), model.SerializeToString(), IMAGES, bound=0.1)
