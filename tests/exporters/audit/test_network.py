"""Real students pass; planted leaks are tested in `tests/exporters/test_leaks.py`."""

import onnx
import pytest
from onnx import helper, numpy_helper

from exporters.audit.network import audit_network
from exporters.core.errors import GateError
from exporters.fp16.convert import to_fp16
from exporters.onnx.reader import read_onnx
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
