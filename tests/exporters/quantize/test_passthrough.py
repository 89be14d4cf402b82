import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from exporters.quantize.passthrough import pass_through


def test_value_is_passed_on_unchanged() -> None:
    node = pass_through("x", "y", "keep")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
    graph = helper.make_graph([node], "one", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.array([-1.5, 0.0, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], x)
    assert node.name == "keep"
