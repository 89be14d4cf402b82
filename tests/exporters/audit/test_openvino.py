"""Whatever is in OpenVINO IR beyond the proved ONNX file is found."""

from dataclasses import replace

import numpy as np
import pytest

from exporters.audit import openvino as module
from exporters.audit.openvino import audit_openvino, names_of
from exporters.core.errors import GateError
from exporters.core.files import sha256_bytes
from exporters.onnx.reader import Tensor, read_onnx
from exporters.openvino.document import Document, Layer, Port, write_document
from tests.exporters.conftest import Exported
from tests.exporters.openvino.small import WEIGHT, changed, document, files, onnx_file, with_data

XML, WEIGHTS = files()
HALF = WEIGHT.astype(np.float16)


def test_the_weights_of_the_onnx_file_are_explained() -> None:
    assert audit_openvino(XML, WEIGHTS, onnx_file(), "model.xml", "fp32").operators["Const"] == 1


def test_weights_rounded_to_fp16_are_explained_in_fp16_alone() -> None:
    audit_openvino(*files(HALF, "f16"), onnx_file(), "model.fp16.xml", "fp16")
    with pytest.raises(GateError, match=r"model\.xml: holds what the ONNX file does not: Const_2 f16"):
        audit_openvino(*files(HALF, "f16"), onnx_file(), "model.xml", "fp32")


def test_a_weight_may_have_its_axes_in_another_order_but_not_its_values() -> None:
    turned = np.ascontiguousarray(WEIGHT.transpose(2, 0, 1))
    audit_openvino(XML, WEIGHTS, onnx_file(turned), "model.xml", "fp32")
    with pytest.raises(GateError, match="holds what the ONNX file does not: weight f32"):
        audit_openvino(XML, WEIGHTS, onnx_file(WEIGHT[::-1].copy()), "model.xml", "fp32")


def test_tied_weights_may_share_their_bytes() -> None:
    base, tied = onnx_file(), Tensor("tied", "float32", WEIGHT.shape, WEIGHT.tobytes(), "initializer")
    base.tensors.append(tied)
    audit_openvino(XML, WEIGHTS, base, "model.xml", "fp32")


def test_constants_that_share_their_bytes_are_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []

    def counting(data: bytes) -> str:
        hashed.append(len(data))
        return sha256_bytes(data)

    monkeypatch.setattr(module, "sha256_bytes", counting)
    weights = np.float32([5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]).tobytes()  # the weight of no tensor
    with pytest.raises(GateError, match=r"weight f32 \[2, 2, 3\], Const_4 f32 \[2, 2, 3\]"):
        audit_openvino(with_shared_constant(), weights, onnx_file(), "model.xml", "fp32")
    assert len(hashed) == 1 + 1 + 6  # the constant, the tensor as it is, and in each order of three axes


@pytest.mark.parametrize("index", [0, 17, 47])
def test_one_changed_byte_of_a_weight_is_found(index: int) -> None:
    weights = bytearray(WEIGHTS)
    weights[index] ^= 1
    with pytest.raises(GateError, match="holds what the ONNX file does not: weight"):
        audit_openvino(XML, bytes(weights), onnx_file(), "model.xml", "fp32")


def test_a_wrong_rounding_is_found() -> None:
    other = np.nextafter(HALF, np.float16(np.inf))
    with pytest.raises(GateError, match="holds what the ONNX file does not"):
        audit_openvino(*files(other, "f16"), onnx_file(), "model.fp16.xml", "fp16")


def test_a_tensor_of_the_onnx_file_that_is_missing_is_named() -> None:
    base = onnx_file()
    shift = np.float32([0.1, 0.2])
    base.tensors.append(Tensor("shift", "float32", (2,), shift.tobytes(), "initializer"))
    with pytest.raises(GateError, match="without shift of the ONNX file"):
        audit_openvino(XML, WEIGHTS, base, "model.xml", "fp32")


def with_second_constant(value: np.ndarray, dtype: str) -> tuple[bytes, bytes]:
    """The network with one more constant, added to the logits."""
    whole = document()
    parameter, convert, const, multiply, result = whole.layers
    data = {
        "element_type": dtype, "shape": ", ".join(map(str, value.shape)), "offset": str(len(WEIGHTS)),
        "size": str(value.nbytes),
    }  # fmt: skip
    output = multiply.outputs[0]
    second = Layer(4, "Const_4", "Const", "opset1", data, (), (), (Port(0, "FP32", value.shape),))
    add = Layer(5, "Add_5", "Add", "opset1", {}, (), (Port(0, "FP32", output.dims), Port(1, "FP32", value.shape)),
                (output,))  # fmt: skip
    layers = (parameter, convert, const, replace(multiply, outputs=(replace(output, names=""),)), second, add,
              replace(result, id=6, name="Result_6"))  # fmt: skip
    edges = (*whole.edges[:-1], (3, 2, 5, 0), (4, 0, 5, 1), (5, 2, 6, 0))
    return write_document(Document(layers, edges)), WEIGHTS + value.tobytes()


def with_shared_constant() -> bytes:
    """The XML of a network with a second constant that has the bytes of its weight."""
    xml, _ = with_second_constant(WEIGHT, "f32")
    return xml.replace(f'offset="{len(WEIGHTS)}"'.encode(), b'offset="0"')


@pytest.mark.parametrize(
    ("value", "dtype", "allowed"),
    [
        (np.float32([1, 2, 3, 4]), "f32", True),
        (np.float32([1, 2, 3, 4, 5]), "f32", False),
        (np.arange(1000, dtype=np.int64), "i64", True),
        (np.int64([3, 1, 4] * 22), "i64", False),
        (np.int64([3, 1, 4] * 21), "i64", True),
        (np.frombuffer(b"a text that is hidden in a student's weights" * 2, np.uint8), "u8", False),
    ],
)
def test_constants_besides_the_weights_are_tiny(value: np.ndarray, dtype: str, allowed: bool) -> None:
    xml, weights = with_second_constant(value, dtype)
    if allowed:
        audit_openvino(xml, weights, onnx_file(), "model.xml", "fp32")
        return
    with pytest.raises(GateError, match="holds what the ONNX file does not: Const_4"):
        audit_openvino(xml, weights, onnx_file(), "model.xml", "fp32")


def with_small_constants(*sizes: int) -> tuple[bytes, bytes]:
    """A network to whose logits constants of random bytes are added one after the other."""
    parameter, convert, weight, multiply, result = document().layers
    hidden = np.random.default_rng(0)
    unnamed = replace(multiply.outputs[0], names="")
    layers = [parameter, convert, weight, replace(multiply, outputs=(unnamed,))]
    edges, weights, last = list(document().edges[:-1]), WEIGHTS, (3, 2)
    for size in sizes:
        constant, added = len(layers), len(layers) + 1
        data = {"element_type": "u8", "shape": str(size), "offset": str(len(weights)), "size": str(size)}
        layers.append(Layer(constant, f"Const_{constant}", "Const", "opset1", data, (), (), (Port(0, "U8", (size,)),)))
        layers.append(Layer(added, f"Add_{added}", "Add", "opset1", {}, (), multiply.inputs, (unnamed,)))
        edges += [(*last, added, multiply.inputs[0].id), (constant, 0, added, multiply.inputs[1].id)]
        weights, last = weights + hidden.integers(0, 256, size, np.uint8).tobytes(), (added, 2)
    layers[-1] = replace(layers[-1], outputs=multiply.outputs)
    layers.append(replace(result, id=len(layers), name=f"Result_{len(layers)}"))
    return write_document(Document(tuple(layers), (*edges, (*last, len(layers) - 1, 0)))), weights


def test_small_constants_are_bounded_in_sum() -> None:
    """Each of them could be a shape; all of them together are a message."""
    most = 4 * 3 + 2**8  # two nodes and a tensor
    audit_openvino(*with_small_constants(64, 64, 64, 64, most - 256), onnx_file(), "model.xml", "fp32")
    with pytest.raises(GateError, match="269 values of constants are more than the ONNX file's 2 nodes need"):
        audit_openvino(*with_small_constants(64, 64, 64, 64, most - 255), onnx_file(), "model.xml", "fp32")


def test_shapes_and_single_numbers_of_the_onnx_file_may_be_missing() -> None:
    base = onnx_file()
    base.tensors.append(Tensor("shape", "int64", (3,), np.int64([1, 2, 3]).tobytes(), "initializer"))
    base.tensors.append(Tensor("slope", "float32", (), np.float32(0.1).tobytes(), "initializer"))
    audit_openvino(XML, WEIGHTS, base, "model.xml", "fp32")


def with_output(index: int, **other: object) -> bytes:
    """The XML with another output of one layer."""
    return changed(index, lambda layer: replace(layer, outputs=(replace(layer.outputs[0], **other),)))


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (changed(3, lambda layer: replace(layer, name="teacher")), "a layer called 'teacher'"),
        (changed(1, lambda layer: replace(layer, name="weight")), "a layer called 'weight'"),
        (with_data(3, note="/home/user/model.bin"), "tells about the machine"),
        (
            changed(1, lambda layer: replace(layer, hints=(("decompression", "~/model.bin"),))),
            "tells about the machine",
        ),
        (with_output(3, names="other"), "a value called"),
        (with_output(0, precision="FP32"), "its inputs are"),
        (with_output(3, dims=(-1, 9)), "its outputs are"),
        (with_data(3, **{f"k{index}": "x" * 250 for index in range(64)}), "bytes are more than 5 layers need"),
        (with_data(3, **{f"k{index}": "x" * 250 for index in range(6)}), "1,576 letters of attributes are more than 5"),
        (changed(1, lambda layer: replace(layer, hints=(("decompression", "x" * 240),) * 6)), "letters of attributes"),
    ],
)
def test_names_ends_and_size_are_those_of_the_onnx_file(xml: bytes, message: str) -> None:
    with pytest.raises(GateError, match=message):
        audit_openvino(xml, WEIGHTS, onnx_file(), "model.xml", "fp32")


def test_more_layers_than_the_onnx_file_becomes_are_refused() -> None:
    whole = document()
    first, convert = whole.layers[0], whole.layers[1]
    port = convert.outputs[0]
    chain = [
        Layer(index, f"Sqrt_{index}", "Sqrt", "opset1", {}, (), (replace(port, id=0),), (port,))
        for index in range(2, 400)
    ]
    rest = [
        replace(layer, id=layer.id + 398, name=layer.name if layer.name in ("weight", "scaled") else "Result_402")
        for layer in whole.layers[2:]
    ]
    edges = [(0, 0, 1, 0), *((index - 1, 1, index, 0) for index in range(2, 400)), (399, 1, 401, 0), (400, 0, 401, 1),
             (401, 2, 402, 0)]  # fmt: skip
    xml = write_document(Document((first, convert, *chain, *rest), tuple(edges)))
    with pytest.raises(GateError, match="403 layers are more than 3 nodes and tensors"):
        audit_openvino(xml, WEIGHTS, onnx_file(), "model.xml", "fp32")


def flipped(data: bytes, place: int) -> bytes:
    """The data with the last bit of one byte changed."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_each_bit_of_a_converted_students_weights_counts(cifar: Exported, precision: str) -> None:
    pytest.importorskip("openvino")
    from exporters.openvino.convert import convert

    base = read_onnx(cifar.data)
    xml, weights = convert(cifar.data, precision, *names_of(base))  # type: ignore[arg-type]
    network = audit_openvino(xml, weights, base, "model.xml", precision)
    assert {constant.dtype for constant in network.constants} == {"i64", "f16" if precision == "fp16" else "f32"}
    largest = max(network.constants, key=lambda constant: constant.array().size)
    start = weights.index(bytes(largest.data))
    for place in (start, start + largest.array().nbytes - 1):
        with pytest.raises(GateError, match="holds what the ONNX file does not"):
            audit_openvino(xml, flipped(weights, place), base, "model.xml", precision)
