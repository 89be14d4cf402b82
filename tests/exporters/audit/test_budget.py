"""Parameters counted from the graph, and the bounds that follow from them."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.audit.budget import check_budget, count_parameters
from exporters.audit.integers import STORES
from exporters.core.errors import GateError
from exporters.fp16.convert import to_fp16
from exporters.onnx.reader import Node, OnnxFile, Tensor, Value, read_onnx
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


def test_weights_that_are_normalised_or_rectified_first_are_parameters() -> None:
    """Convolutions of norm-free networks standardise their weights; a network may compute a bias from positions."""
    nodes = [
        helper.make_node("BatchNormalization", ["w", "scale", "bias", "mean", "variance"], ["standardised"]),
        helper.make_node("Relu", ["positions"], ["hidden"]),
        helper.make_node("MatMul", ["image", "standardised"], ["a"]),
        helper.make_node("Add", ["a", "hidden"], ["logits"]),
    ]
    small = {name: np.ones(4, np.float32) for name in ("scale", "bias", "mean", "variance")}
    model = graph(nodes, w=np.ones((5, 4), np.float32), positions=np.ones(4, np.float32), **small)
    assert count_parameters(model) == 20 + 4 + 16


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


def counted(values: int, *others: Tensor, nodes: int = 1) -> OnnxFile:
    """A file of so many values that a layer multiplies the image by, and other tensors."""
    weight = Tensor("w", "int8", (values,), bytes(values), "initializer")
    layer = Node("mul", "Mul", ("image", "w"), ("logits",))
    operators = {"Mul": 1, "Relu": nodes - 1}
    return OnnxFile(
        inputs=[Value("image", "float32", ())], tensors=[weight, *others], operators=operators, nodes=[layer]
    )


def uncounted(values: int, dtype: str = "int8") -> Tensor:
    return Tensor("u", dtype, (values,), bytes(values), "initializer")


def zeros(values: int) -> Tensor:
    """A range, whose values no other bound counts."""
    return Tensor("z", "int32", (values,), bytes(4 * values), "initializer")


def size_of(model: OnnxFile) -> int:
    return sum(len(tensor.data) for tensor in model.tensors)


def refuses(model: OnnxFile, parameters: int, size: int | None = None) -> str:
    """The message of the refusal; empty if the file is accepted."""
    try:
        check_budget(model, size_of(model) if size is None else size, "model.onnx", parameters)
    except GateError as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("fits", "exceeds", "parameters", "words"),
    [
        # 1.1 values for each that a layer has, and 2^14.
        (counted(1000, uncounted(100 + 2**14)), counted(1000, uncounted(101 + 2**14)), 1000, "1,000 parameters in lay"),
        # 1.5 values for each parameter that the manifest tells of, and 2^16.
        (counted(15 + 2**16), counted(16 + 2**16), 10, "65,552 values are more than a student of 10 parameters has"),
        # 2^18 values of other types, 64 for each node, one for eight weights.
        (
            counted(80, zeros(2**18 + 2 * 64 + 10), nodes=2),
            counted(80, zeros(2**18 + 2 * 64 + 11), nodes=2),
            80,
            "262,283 values that are no weights",
        ),
        # 64 nodes for each tensor and 2^8, at most 20,000.
        (counted(9, nodes=64 + 2**8), counted(9, nodes=64 + 2**8 + 1), 9, "321 operators"),
        (
            counted(9, *[uncounted(1)] * 400, nodes=20_000),
            counted(9, *[uncounted(1)] * 400, nodes=20_001),
            9,
            "20,001 operators",
        ),
    ],
)
def test_budget_ends_where_it_says(fits: OnnxFile, exceeds: OnnxFile, parameters: int, words: str) -> None:
    assert refuses(fits, parameters) == ""
    assert words in refuses(exceeds, parameters)


def test_manifest_may_not_tell_of_more_parameters_than_its_layers_can_be_made_of() -> None:
    assert refuses(counted(10), 8 * 10 + 2**16) == ""
    assert "its layers have 10 parameters, and the manifest tells of 65,617" in refuses(counted(10), 8 * 10 + 2**16 + 1)


def test_names_are_bounded_one_by_one_and_together() -> None:
    model = counted(10)
    model.texts = ["n" * 512] * 17  # 2^13 bytes, and 2^8 for a node and a tensor each
    assert refuses(model, 10) == ""
    model.texts = ["n" * 513]
    assert "a name of 513 characters" in refuses(model, 10)
    model.texts = [*["é" * 256] * 17, "n"]  # two bytes each
    assert "8,705 bytes of names are more than 1 operators need" in refuses(model, 10)
    model.texts = ["\ud800"]  # half of a pair, which no bytes stand for
    assert refuses(model, 10) == ""


def test_bytes_beside_values_and_metadata_are_bounded() -> None:
    model = counted(40)
    model.metadata = {"labels": "é" * 5}
    most = 2**14 + 2 * 2**9 + 40 + 10  # a node and a tensor; values; the text of the metadata
    assert refuses(model, 40, most) == ""
    assert "17,409 bytes are neither values" in refuses(model, 40, most + 1)


@pytest.mark.parametrize("dtype", STORES)
def test_weights_of_every_type_that_stores_them_count(dtype: str) -> None:
    width = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}.get(dtype, 1)
    model = counted(1)
    model.tensors = [Tensor("w", dtype, (6,), bytes(6 * width), "initializer")]
    assert count_parameters(model) == 6


def test_value_that_an_image_may_replace_is_no_parameter() -> None:
    """An initializer of the name of an input is that input's default."""
    model = counted(10)
    model.inputs.append(Value("w", "int8", ()))
    assert count_parameters(model) == 0


def test_weight_that_two_layers_share_counts_once() -> None:
    model = counted(10)
    model.nodes.append(Node("add", "Add", ("logits", "w"), ("more",)))
    assert count_parameters(model) == 10


def test_layer_deep_in_the_network_counts_its_own_weight_alone() -> None:
    """Through operators without weights; what a reduction makes of a tensor is none of the layer's parameters."""
    model = counted(10, uncounted(7), Tensor("last", "int8", (3,), bytes(3), "initializer"))
    model.nodes += [
        Node("relu", "Relu", ("logits",), ("r",)),
        Node("largest", "ReduceMax", ("u",), ("m",)),
        Node("scaled", "Mul", ("r", "m"), ("s",)),
        Node("sum", "Add", ("s", "last"), ("end",)),
    ]
    assert count_parameters(model) == 13
