import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.core.errors import UnavailableError
from exporters.fp16.plan import plan_fp16
from tests.exporters.conftest import Exported
from tests.exporters.onnx.planting import convolutions, overflowing, weights_of


def test_every_node_has_a_type_or_moves_values(cifar: Exported) -> None:
    kept = convolutions(onnx.load_from_string(cifar.data))[2].name
    plan = plan_fp16(cifar.data, keep_float=[kept])
    names = [node.name for node in onnx.load_from_string(cifar.data).graph.node]
    assert plan.fp32 == {kept: "asked for"} and plan.weighted == 7
    assert not {*plan.fp16} & {*plan.preprocessing, kept}
    assert {*plan.fp16, *plan.preprocessing, kept} <= set(names)
    assert list(plan.fp16) == sorted(plan.fp16, key=names.index)


def test_weights_beyond_fp16_are_the_reason(cifar: Exported) -> None:
    planted, loud, quiet = overflowing(cifar.data, 1e7)
    reasons = plan_fp16(planted).fp32
    assert "beyond fp16's 65504" in reasons[loud] and "below fp16's smallest normal number" in reasons[quiet]


def test_weights_that_become_zero_are_counted(cifar: Exported) -> None:
    model = onnx.load_from_string(cifar.data)
    tensor = weights_of(model, convolutions(model)[2])[0]
    values = numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[:3] = [1e-9, -2e-8, 0]
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    plan = plan_fp16(model.SerializeToString())
    assert plan.vanishing == {tensor.name: 2}
    assert not plan.fp32 and plan.weighted == 8


def test_control_flow_is_refused(cifar: Exported) -> None:
    model = onnx.load_from_string(cifar.data)
    body = helper.make_graph(
        [helper.make_node("Identity", ["raw"], ["then"], "pass")],
        "branch",
        [],
        [helper.make_tensor_value_info("then", TensorProto.FLOAT, ["batch", len(cifar.student.labels)])],
    )
    model.graph.node[-1].output[0] = "raw"
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    node = helper.make_node("If", ["always"], ["logits"], "branch", then_branch=body, else_branch=body)
    model.graph.node.append(node)
    with pytest.raises(UnavailableError, match=r"control flow.*branch"):
        plan_fp16(model.SerializeToString())
