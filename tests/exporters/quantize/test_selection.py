import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.core.errors import UsageError
from exporters.quantize.selection import Network
from tests.exporters.conftest import Exported


def network(*nodes: tuple[str, str, list[str], dict[str, int]], output: str) -> Network:
    """Nodes (operator, name, inputs, attributes), each giving a value of its own name; w* are constants."""
    constants = {
        name: np.ones((4, 4, 1, 1), np.float32) for _, _, names, _ in nodes for name in names if name[0] == "w"
    }
    graph = helper.make_graph(
        [helper.make_node(kind, names, [name], name, **options) for kind, name, names, options in nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return Network(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))


def test_layers_of_a_residual_block_are_selected_for_each_target() -> None:
    block = network(
        ("Mul", "scaled", ["x", "w0"], {}),
        ("Conv", "first", ["scaled", "w1"], {}),
        ("Relu", "relu", ["first"], {}),
        ("Conv", "second", ["relu", "w2"], {}),
        ("Add", "sum", ["second", "relu"], {}),
        ("Relu", "last", ["sum"], {}),
        ("ReduceMean", "mean", ["last"], {}),
        ("Conv", "logits", ["mean", "w3"], {}),
        output="logits",
    )
    assert block.select("cpu") == ["first", "relu", "second", "sum", "last", "logits"]
    assert block.select("tensorrt") == ["first", "second", "logits"]
    assert block.layers == ["first", "second", "logits"]
    # With the second layer in float the sum has an input that does not pass through 8 bits.
    assert block.select("cpu", ["second"]) == ["first", "relu", "logits"]


def test_convolution_and_pooling_share_the_range_of_relu() -> None:
    chain = network(
        ("Conv", "first", ["x", "w1"], {}),
        ("Relu", "relu", ["first"], {}),
        ("MaxPool", "pool", ["relu"], {"kernel_shape": 1}),
        ("Conv", "logits", ["pool", "w2"], {}),
        output="logits",
    )
    assert chain.ranges_needed() == (["x", "relu"], {"first": "relu", "pool": "relu"})


def test_products_of_two_activations_stay_in_float() -> None:
    attention = network(
        ("MatMul", "query", ["x", "w1"], {}),
        ("Add", "biased", ["query", "w2"], {}),
        ("MatMul", "scores", ["biased", "biased"], {}),
        ("Softmax", "shares", ["scores"], {}),
        ("MatMul", "mixed", ["shares", "w3"], {}),
        output="mixed",
    )
    assert attention.select("cpu") == attention.select("tensorrt") == ["query", "mixed"]


def test_depthwise_weights_are_found(shufflenet: Exported) -> None:
    model = onnx.load_from_string(shufflenet.data)
    groups = {
        node.input[1]: attribute.i
        for node in model.graph.node
        for attribute in node.attribute
        if attribute.name == "group" and attribute.i > 1
    }
    assert len(groups) == 19
    assert list(Network(model).depthwise()) == list(groups)


def test_selection_without_layers_or_known_names_is_refused(cifar: Exported) -> None:
    cifar_network = Network(onnx.load_from_string(cifar.data))
    with pytest.raises(UsageError, match="no layer to quantize"):
        cifar_network.select("cpu", cifar_network.layers)
    with pytest.raises(UsageError, match="no node 'node_Conv_0' to keep"):
        cifar_network.select("cpu", ["node_Conv_0"])
    nameless = onnx.load_from_string(cifar.data)
    nameless.graph.node[5].name = ""
    with pytest.raises(UsageError, match="a name of its own"):
        Network(nameless).select("cpu")
