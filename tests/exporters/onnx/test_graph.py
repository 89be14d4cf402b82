import numpy as np
import onnx
import pytest
from onnx import TensorProto

from exporters.core.errors import GateError, UnavailableError
from exporters.onnx import graph as graphs
from tests.exporters.onnx.planting import chain

WEIGHTS = [np.random.default_rng(seed).normal(size=shape) for seed, shape in enumerate([(3, 6), (6, 4)])]


def model() -> onnx.ModelProto:
    return onnx.load_from_string(chain(WEIGHTS))


def test_types_are_those_of_values_and_initializers() -> None:
    _, types = graphs.load_typed(chain(WEIGHTS))
    assert (types["image"], types["axes"]) == (TensorProto.UINT8, TensorProto.INT64)
    assert {types[name] for name in ("cast", "mean", "product0", "logits", "weight0")} == {TensorProto.FLOAT}


def test_invalid_model_is_refused() -> None:
    with pytest.raises(GateError, match="damaged or not an ONNX file"):
        graphs.load_typed(b"\xff\xff")
    broken = model()
    broken.graph.node[-1].input[0] = "nothing"
    with pytest.raises(GateError, match="the int8 model is not valid ONNX"):
        graphs.checked(broken, "the int8 model")


def test_producers_and_consumers_are_the_edges_of_the_graph() -> None:
    graph = model().graph
    assert [node.name for node in graphs.producers(graph).values()] == [node.name for node in graph.node]
    assert [node.name for node in graphs.consumers(graph)["relu0"]] == ["matmul1"]
    assert "logits" not in graphs.consumers(graph)
    assert set(graphs.initializers(graph)) == {"axes", "weight0", "weight1"}


def test_missing_attribute_gives_the_default() -> None:
    node = graphs.producers(model().graph)["mean"]
    assert graphs.attribute(node, "keepdims") == 0 and graphs.attribute(node, "noop_with_empty_axes", 7) == 7
    assert graphs.opsets(model()) == {"": 20}


def test_renaming_uses_keeps_the_producer() -> None:
    changed = model()
    graphs.rename_uses(changed.graph, "relu0", "product0")
    assert graphs.producers(changed.graph)["relu0"].op_type == "Relu"
    assert [node.name for node in graphs.consumers(changed.graph)["product0"]] == ["relu0", "matmul1"]


def test_graph_can_be_rebuilt_from_its_own_nodes() -> None:
    changed = model()
    names = [node.name for node in changed.graph.node]
    graphs.replace_all(changed.graph, "node", reversed(changed.graph.node))
    assert [node.name for node in changed.graph.node] == names[::-1]
    assert [node.name for node in graphs.copy_of(changed).graph.node] == names[::-1]


def test_unoptimized_session_returns_the_values_asked_for() -> None:
    images = np.random.default_rng(2).integers(0, 256, (3, 2, 2, 3)).astype(np.uint8)
    (found,) = graphs.unoptimized_session(model(), ["product0"]).run(None, {"image": images})
    np.testing.assert_allclose(found, images.mean(axis=(1, 2)) @ WEIGHTS[0], rtol=1e-5)
    unknown = model()
    unknown.graph.node[-1].domain = "nobody"
    with pytest.raises(UnavailableError, match="cannot run the model node by node"):
        graphs.unoptimized_session(unknown, ["logits"])
