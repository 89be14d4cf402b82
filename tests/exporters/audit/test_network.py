"""Real students pass; planted leaks are tested in `tests/exporters/test_leaks.py`."""

import itertools
from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from exporters.audit.network import audit_network
from exporters.core.errors import GateError
from exporters.fp16.convert import to_fp16
from exporters.onnx.reader import Node, OnnxFile, Tensor, Value, read_onnx
from tests.exporters.conftest import Exported


def audit(data: bytes, parameters: int) -> None:
    audit_network(read_onnx(data), data, "model.onnx", parameters)


def test_students_pass(cifar: Exported, shufflenet: Exported) -> None:
    for exported in (cifar, shufflenet):
        audit(exported.data, exported.student.parameters)
    audit(to_fp16(cifar.data), cifar.student.parameters)


def test_exceeded_budgets_are_refused(cifar: Exported) -> None:
    with pytest.raises(GateError, match="values are more than a student of 1,000 parameters"):
        audit(cifar.data, 1000)


def test_unused_chain_of_nodes_is_found_as_a_whole(cifar: Exported) -> None:
    model = onnx.load_from_string(cifar.data)
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    model.graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(weight), "second"))
    model.graph.node.append(helper.make_node("Neg", ["second"], ["a"], "first step"))
    model.graph.node.append(helper.make_node("Neg", ["a"], ["b"], "second step"))
    with pytest.raises(GateError, match="do not follow from second, first step, second step"):
        audit(model.SerializeToString(), cifar.student.parameters)


# Graphs made by hand, each with one part that no student has.


def tensor(name: str, *dims: int, dtype: str = "int8") -> Tensor:
    width = {"int64": 8, "int32": 4, "float32": 4}.get(dtype, 1)
    return Tensor(name, dtype, dims, bytes(int(np.prod(dims)) * width), "initializer")


def network(*more: Node, tensors: Sequence[Tensor] = (), outputs: Sequence[str] = ("logits",)) -> OnnxFile:
    """A layer of a thousand weights, and other parts."""
    nodes = [Node("layer", "Mul", ("image", "w"), ("features",)), *more]
    operators: dict[str, int] = {}
    for node in nodes:
        operators[node.operator] = operators.get(node.operator, 0) + 1
    return OnnxFile(
        inputs=[Value("image", "uint8", ("batch", 8, 8, 3))],
        outputs=[Value(name, "float32", ()) for name in outputs],
        tensors=[tensor("w", 1000), *tensors],
        operators=operators,
        nodes=nodes,
        texts=[text for node in nodes for text in (node.name, *node.inputs, *node.outputs)],
    )


END = Node("end", "Relu", ("features",), ("logits",))


def refusal(model: OnnxFile) -> str:
    """The message of the refusal; empty if the model is accepted."""
    try:
        audit_network(model, b"", "model.onnx", 1000)
    except GateError as error:
        return error.message
    return ""


def test_plain_network_is_accepted() -> None:
    assert refusal(network(END)) == ""


@pytest.mark.parametrize(
    "operator", ["If", "Loop", "Scan", "RandomNormal", "StringConcat", "ai.teachers::X", "TfIdfVectorizer"]
)
def test_operators_that_no_classifier_has_are_refused(operator: str) -> None:
    model = network(END)
    model.operators[operator] = 1
    assert refusal(model) == f"model.onnx: has what no image classifier needs: {operator}"
    model.operators["Bernoulli"] = 1
    assert (
        refusal(model)
        == f"model.onnx: has what no image classifier needs: {', '.join(sorted(['Bernoulli', operator]))}"
    )


def test_operators_are_known_by_their_whole_name() -> None:
    assert refusal(network(Node("n", "Identity", ("features",), ("logits",)))) == ""  # begins like If


def test_functions_are_refused() -> None:
    model = network(END)
    model.functions.append("Teacher")
    assert refusal(model) == "model.onnx: has what no image classifier needs: Teacher"


def test_budget_is_that_of_the_file() -> None:
    with pytest.raises(GateError, match=r"^model\.onnx: 20,000 bytes are neither values nor described"):
        audit_network(network(END), bytes(21_000), "model.onnx", 1000)
    with pytest.raises(GateError, match=r"^model\.onnx: its layers have 1,000 parameters, and the manifest tells of"):
        audit_network(network(END), b"", "model.onnx", 100_000)


def test_parts_that_no_output_follows_from_are_named() -> None:
    spare = [Node(f"spare{index}", "Neg", ("image",), (f"v{index}",)) for index in range(6)]
    words = "model.onnx: the logits do not follow from "
    assert refusal(network(END, tensors=[tensor("unused", 3)])) == f"{words}unused: not a part of the student"
    names = "unused, spare0, spare1, spare2, spare3"
    assert refusal(network(END, *spare, tensors=[tensor("unused", 3)])) == f"{words}{names}: not a part of the student"
    constant = Tensor("c.value", "int8", (3,), bytes(3), "attribute")  # of a node, which is looked at itself
    assert refusal(network(END, tensors=[constant])) == ""


def test_optional_inputs_and_outputs_lead_nowhere() -> None:
    """An empty name stands for what is left out: nothing follows from it, and it from nothing."""
    clip = Node("clip", "Clip", ("features", "", "top"), ("logits",))
    other = Node("other", "Neg", ("image",), ("",))
    assert refusal(network(clip, tensors=[tensor("top", 1)])) == ""
    assert "do not follow from other" in refusal(network(clip, other, tensors=[tensor("top", 1)]))


def test_cycle_is_looked_at_once() -> None:
    there, back = Node("a", "Add", ("features", "y"), ("x",)), Node("b", "Relu", ("x",), ("y",))
    assert refusal(network(there, back, Node("end", "Relu", ("y",), ("logits",)))) == ""


@pytest.mark.parametrize(
    "name", ["teacher.fc", "Token_Embedding", "text_projection", "x.exp_avg", "optimiser", "open_clip"]
)
def test_names_of_teachers_and_optimizers_are_refused(name: str) -> None:
    model = network(END)
    model.texts += ["zero", name, name]
    assert refusal(model) == f"model.onnx: named like a part of a teacher or an optimizer: {name}"


@pytest.mark.parametrize("operator", ["Gather", "GatherND", "GatherElements"])
def test_table_of_tokens_is_known_by_its_rows(operator: str) -> None:
    lookup = Node("lookup", operator, ("table", "features"), ("logits",))

    def table(*dims: int, dtype: str = "int8") -> OnnxFile:
        return network(lookup, tensors=[tensor("table", *dims, dtype=dtype)])

    assert refusal(table(9_999, 1)) == refusal(table()) == ""
    assert refusal(table(10_000, 1)) == "model.onnx: table is looked up by its 10,000 rows, as tokens are"
    assert refusal(table(10_000, dtype="int64")) == ""  # indices, of which there are others bounds
    other = Node("other", "Add", ("table", "features"), ("logits",))
    assert refusal(network(other, tensors=[tensor("table", 10_000, 1)])) == ""
    index = Node("lookup", operator, ("features", "table"), ("logits",))
    assert refusal(network(index, tensors=[tensor("table", 10_000, 1)])) == ""


def test_paths_of_a_machine_are_found_wherever_they_stand() -> None:
    for key, value in (("texts", ["/home/ada/x"]), ("metadata", {"a": "fine", "b": "/home/ada/x"})):
        model = network(END)
        setattr(model, key, value)
        assert refusal(model).startswith("model.onnx: tells about the machine")
    model = network(END)
    model.producer = "/home/ada/x"
    assert refusal(model).startswith("model.onnx: tells about the machine")


def with_map(*nodes: Node, tensors: Sequence[Tensor] = ()) -> OnnxFile:
    """Logits, and a map that these nodes make of the features."""
    return network(END, *nodes, tensors=tensors, outputs=("logits", "cam"))


def steps(count: int, operator: str = "Cast") -> list[Node]:
    """A chain from the features to the map."""
    names = ["features", *(f"m{index}" for index in range(1, count)), "cam"]
    return [Node(f"map{index}", operator, (a,), (b,)) for index, (a, b) in enumerate(itertools.pairwise(names))]


def test_map_has_few_operators_of_its_own() -> None:
    assert refusal(with_map(*steps(12))) == ""
    words = "operators that the logits do not need, more than a map does"
    assert refusal(with_map(*steps(13))) == f"model.onnx: cam follows from 13 {words}"
    for operator in ("ArgMax", "Cast", "Gather", "MatMul", "Mul", "Reshape", "Transpose"):
        assert refusal(with_map(*steps(2, operator))) == ""
    assert refusal(with_map(*steps(1), *steps(1, "Conv"))) == f"model.onnx: cam follows from 2 {words}"
    # The same operators, however many, are the student's where the logits follow from them.
    chain = steps(40, "Conv")
    chain[-1] = Node("last", "Conv", chain[-1].inputs, ("logits",))
    assert refusal(network(*chain, Node("m", "Cast", ("features",), ("cam",)), outputs=("logits", "cam"))) == ""


@pytest.mark.parametrize(
    ("own", "accepted"),
    [
        (tensor("shape", 3, dtype="int64"), True),
        (tensor("shape", 4, dtype="int64"), False),
        (tensor("shape", 3, dtype="int32"), False),
        (tensor("shape", 1, dtype="float32"), False),
    ],
)
def test_map_brings_a_shape_and_no_weights(own: Tensor, accepted: bool) -> None:
    model = with_map(Node("reshape", "Reshape", ("features", "shape"), ("cam",)), tensors=[own])
    expected = "model.onnx: the logits do not follow from shape: not a part of the student"
    assert refusal(model) == ("" if accepted else expected)


def test_weights_of_the_student_make_its_map() -> None:
    """Gathered row by row, however many: they are those that the logits follow from."""
    layer = Node("head", "MatMul", ("features", "head"), ("more",))
    end = Node("end", "Relu", ("more",), ("logits",))
    for output, words in (("cam", ""), ("other", "m: head is looked up by its 20,000 rows, as tokens are")):
        gather = Node("rows", "Gather", ("head", "features"), (output,))
        model = network(layer, end, gather, tensors=[tensor("head", 20_000, 1)], outputs=("logits", output))
        if words:
            with pytest.raises(GateError, match=words):
                audit_network(model, b"", "m", 21_000)
        else:
            audit_network(model, b"", "m", 21_000)
