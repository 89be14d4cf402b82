from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.audit import audit_bundle
from exporters.audit.entries import identity
from exporters.audit.int8 import audit_int8
from exporters.core.errors import GateError
from exporters.onnx.reader import Tensor, read_onnx
from exporters.quantize import Calibration, Ranges, Target, calibrate, quantize
from tests.exporters.conftest import Exported


@pytest.fixture(scope="module")
def ranges(cifar: Exported) -> Ranges:
    return calibrate(cifar.data, Calibration(lambda: iter([cifar.images])))


@pytest.fixture(scope="module", params=["cpu", "tensorrt"])
def int8(request: pytest.FixtureRequest, cifar: Exported, ranges: Ranges) -> bytes:
    target: Target = request.param
    return quantize(cifar.data, ranges, target=target)


def changed(data: bytes) -> Iterator[tuple[onnx.TensorProto, bytes]]:
    """The model with one value of one initializer changed, for each initializer that is no single number."""
    for index, tensor in enumerate(onnx.load_from_string(data).graph.initializer):
        values = numpy_helper.to_array(tensor).copy()
        if values.size <= 4 or tensor.data_type == TensorProto.INT64:
            continue
        flat = values.reshape(-1)
        flat[2] = flat[2] + 1 if values.dtype != np.float32 else flat[2] * 1.01 + 1e-3
        model = onnx.load_from_string(data)
        model.graph.initializer[index].CopyFrom(numpy_helper.from_array(values, tensor.name))
        yield tensor, model.SerializeToString()


def test_every_tensor_has_its_origin(cifar: Exported, int8: bytes) -> None:
    entries = audit_int8(int8, cifar.data, cifar.entries)
    tensors = onnx.load_from_string(int8).graph.initializer
    assert [entry["name"] for entry in entries] == [tensor.name for tensor in tensors]
    origins = {entry["name"]: entry["origin"] for entry in entries}
    before = {entry["name"]: entry["origin"] for entry in cifar.entries}
    assert origins["student.layer2.0.conv1.weight_quantized"] == (
        f"int8 of {before['student.layer2.0.conv1.weight']}, per channel"
    )
    assert origins["scale"] == "preprocessing scale"
    weights = [origin for origin in origins.values() if origin.startswith("int8 of")]
    biases = [origin for origin in origins.values() if origin.startswith("int32 of")]
    quantised_biases = "student.linear.bias_quantized" in origins
    assert len(weights) == 8
    assert len(biases) == (8 if quantised_biases else 0)
    assert sum(origin.startswith("scale of int8") for origin in origins.values()) == 8
    operators: dict[str, int] = {}
    for node in onnx.load_from_string(int8).graph.node:
        operators[node.op_type] = operators.get(node.op_type, 0) + 1
    audit_bundle(int8, entries, operators, "model.int8.onnx")


def test_one_changed_value_is_found_in_every_tensor(cifar: Exported, int8: bytes) -> None:
    count = 0
    for tensor, data in changed(int8):
        with pytest.raises(GateError) as caught:
            audit_int8(data, cifar.data, cifar.entries)
        assert "does not explain" in str(caught.value), tensor.name
        count += 1
    assert count > 24


def with_constants(data: bytes, **constants: np.ndarray) -> bytes:
    model = onnx.load_from_string(data)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("quantized", "explained"),
    [
        (np.array([127, 3], np.uint8), True),  # round(1 · 127) and round(.02 · 127)
        (np.array([126, 3], np.uint8), False),
        (np.array([127, 3, 0], np.uint8), False),
    ],
)
def test_quantized_constant_must_match_its_float_value(
    cifar: Exported, int8: bytes, quantized: np.ndarray, explained: bool
) -> None:
    base = with_constants(cifar.data, padding=np.array([1.0, 0.02], np.float32))
    (padding,) = (identity(tensor) for tensor in read_onnx(base).tensors if tensor.name == "padding")
    entries = [*cifar.entries, {**padding, "origin": "constant"}]
    scale, zero = np.array(1 / 127, np.float32), np.array(0, np.uint8)
    data = with_constants(int8, padding_quantized=quantized, padding_scale=scale, padding_zero_point=zero)
    if explained:
        origins = {entry["name"]: entry["origin"] for entry in audit_int8(data, base, entries)}
        assert origins["padding_quantized"] == "8 bits of a constant"
    else:
        with pytest.raises(GateError, match="does not explain: padding_quantized"):
            audit_int8(data, base, entries)


@pytest.mark.parametrize("kind", ["float", "int8", "int32", "scale", "zero points", "attribute"])
def test_planted_values_are_found(cifar: Exported, int8: bytes, kind: str) -> None:
    model = onnx.load_from_string(int8)
    values = np.random.default_rng(0).integers(-100, 100, 128)
    arrays = {
        "float": ("teacher", values.astype(np.float32)),
        "int8": ("teacher_quantized", values.astype(np.int8)),
        "int32": ("teacher_quantized", values.astype(np.int32)),
        "scale": ("teacher_scale", np.abs(values).astype(np.float32) + 1),
        "zero points": ("teacher_zero_point", values.astype(np.int8)),
    }
    if kind == "attribute":
        tensor = numpy_helper.from_array(values.astype(np.float32), "teacher")
        model.graph.node.append(helper.make_node("Constant", [], ["teacher"], value=tensor))
    else:
        name, array = arrays[kind]
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    with pytest.raises(GateError, match="teacher"):
        audit_int8(model.SerializeToString(), cifar.data, cifar.entries)


def test_another_students_file_is_found(cifar: Exported, shufflenet: Exported, int8: bytes) -> None:
    with pytest.raises(GateError, match="does not explain"):
        audit_int8(int8, shufflenet.data, shufflenet.entries)
    with pytest.raises(GateError, match="not those of the fp32 model"):
        audit_int8(int8, cifar.data, cifar.entries[1:])


def test_planted_documentation_is_found(cifar: Exported, int8: bytes) -> None:
    model = onnx.load_from_string(int8)
    model.graph.doc_string = "teacher"
    with pytest.raises(GateError, match="doc_string"):
        audit_int8(model.SerializeToString(), cifar.data, cifar.entries)


def test_scale_raised_for_its_bias_is_explained(cifar: Exported, ranges: Ranges) -> None:
    """A channel whose weights are tiny beside its bias: its scale is the bias's, and its weights become zero."""
    model = onnx.load_from_string(cifar.data)
    for tensor in model.graph.initializer:
        if tensor.name == "student.layer1.0.conv1.weight":
            values = numpy_helper.to_array(tensor).copy()
            values[3] *= 1e-12
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    base = model.SerializeToString()
    entries = [{**entry, "sha256": read.sha256} for entry, read in zip(cifar.entries, read_tensors(base), strict=True)]
    data = quantize(base, calibrate(base, Calibration(lambda: iter([cifar.images]))), target="cpu")
    scale = next(read.array() for read in read_tensors(data) if read.name == "student.layer1.0.conv1.weight_scale")
    assert scale[3] > 2 * np.abs(values[3]).max() / 128
    origins = {entry["name"]: entry["origin"] for entry in audit_int8(data, base, entries)}
    assert origins["student.layer1.0.conv1.weight_scale"].startswith("scale of int8 of")


def read_tensors(data: bytes) -> list[Tensor]:
    return read_onnx(data).tensors
