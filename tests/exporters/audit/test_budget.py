"""Parameters counted from the graph, and the bounds that follow from them."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.audit.budget import check_budget, count_parameters
from exporters.core.errors import GateError
from exporters.fp16.convert import to_fp16
from exporters.onnx.reader import OnnxFile, read_onnx
from tests.exporters.conftest import Exported

FLOATS = ("float16", "float32")


def stored(model: OnnxFile) -> int:
    return sum(int(np.prod(tensor.dims)) for tensor in model.tensors if tensor.dtype in FLOATS)


def graph(nodes: list[onnx.NodeProto], **weights: np.ndarray) -> OnnxFile:
    """From `image` to `logits`."""
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("image", "logits")]
    model = helper.make_model(helper.make_graph(nodes, "student", values[:1], values[1:], initializers))
    return read_onnx(model.SerializeToString())


def test_each_value_of_a_student_is_an_operand_of_a_layer(cifar: Exported, shufflenet: Exported) -> None:
    for exported in (cifar, shufflenet):
        model = read_onnx(exported.data)
        assert count_parameters(model) == stored(model)
        check_budget(model, len(exported.data), "model.onnx", exported.student.parameters)
    half = read_onnx(to_fp16(cifar.data))
    assert count_parameters(half) == stored(half)


def test_weights_are_followed_through_what_is_computed_from_them() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"]),
        helper.make_node("Transpose", ["w"], ["t"]),
        helper.make_node("MatMul", ["image", "t"], ["y"]),
        helper.make_node("Add", ["y", "b"], ["logits"]),
    ]
    found = graph(
        nodes,
        q=np.ones((3, 5), np.int8), scale=np.ones((), np.float32), zero=np.zeros((), np.int8), b=np.ones(3, np.float32),
    )  # fmt: skip
    assert count_parameters(found) == 15 + 1 + 1 + 3


@pytest.mark.parametrize("operator", ["ReduceMax", "ReduceSum", "Shape", "ArgMax"])
def test_reduced_values_are_no_parameters(operator: str) -> None:
    nodes = [helper.make_node(operator, ["w"], ["r"]), helper.make_node("Mul", ["image", "r"], ["logits"])]
    assert count_parameters(graph(nodes, w=np.ones(1000, np.float32))) == 0


def test_values_that_never_meet_the_image_are_no_parameters() -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["c"]), helper.make_node("Relu", ["image"], ["logits"])]
    assert count_parameters(graph(nodes, a=np.ones(9, np.float32), b=np.ones(9, np.float32))) == 0


def test_values_of_other_types_are_bounded() -> None:
    nodes = [helper.make_node("Gather", ["image", "index"], ["logits"])]
    few = graph(nodes, index=np.arange(1000))
    check_budget(few, 10_000, "model.onnx", 1)
    with pytest.raises(GateError, match="300,000 values that are no weights"):
        check_budget(graph(nodes, index=np.arange(300_000)), 2_500_000, "model.onnx", 1)


def test_bytes_that_nothing_describes_are_refused() -> None:
    found = graph([helper.make_node("Relu", ["image"], ["logits"])])
    with pytest.raises(GateError, match="bytes are neither values nor described by 1 operators"):
        check_budget(found, 50_000, "model.onnx", 1)
    with pytest.raises(GateError, match="a name of 600 characters"):
        check_budget(graph([helper.make_node("Relu", ["image"], ["logits"], "n" * 600)]), 1000, "model.onnx", 1)


def test_operators_without_tensors_are_bounded() -> None:
    names = ["image", *(f"v{index}" for index in range(400)), "logits"]
    chain = [helper.make_node("Identity", [source], [target]) for source, target in itertools.pairwise(names)]
    with pytest.raises(GateError, match="401 operators are more than a student has"):
        check_budget(graph(chain), 50_000, "model.onnx", 1)
