import onnx
import pytest
import torch
from torch import Tensor, nn

from exporters.core.errors import UnavailableError
from exporters.onnx.tracing import strip, trace


class _DependsOnValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum().item() > 0 else -x


def test_network_that_cannot_be_traced_is_named_with_the_reason() -> None:
    with pytest.raises(UnavailableError, match=r"my network cannot be exported to ONNX: \S") as caught:
        trace(_DependsOnValues().eval(), torch.zeros(2, 3), 20, name="my network", input_name="x", outputs=["y"])
    assert "\n" not in caught.value.message and "\x1b" not in caught.value.message


def test_stripping_removes_documentation_and_metadata_from_every_part() -> None:
    weight = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [1.0], raw=False)
    weight.doc_string = "here"
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"], doc_string="/home/me/net.py")
    node.metadata_props.add(key="stack", value="/home/me/net.py")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1], doc_string="here")
    graph = onnx.helper.make_graph([node], "g", [value], [onnx.ValueInfoProto(name="y")], [weight])
    model = onnx.helper.make_model(graph, doc_string="here")
    strip(model)
    text = str(model)
    assert "here" not in text and "net.py" not in text
    assert list(model.graph.initializer[0].float_data) == [1.0] and model.graph.node[0].op_type == "Add"
