"""Faults to plant into an exported CIFAR student, and small files made by hand."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exporters.runtimes import OnnxRuntime


def weights_of(model: onnx.ModelProto, node: onnx.NodeProto) -> list[onnx.TensorProto]:
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    return [found[name] for name in node.input if name in found]


def convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "Conv"]


def scale(tensor: onnx.TensorProto, factor: float) -> None:
    values = numpy_helper.to_array(tensor) * np.float32(factor)
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))


def overflowing(data: bytes, factor: float = 1e5) -> tuple[bytes, str, str]:
    """One convolution scaled up and the next, behind a ReLU, scaled down: the logits stay, what is between does not."""
    model = onnx.load_from_string(data)
    users = {value: node for node in model.graph.node for value in node.input}
    for node in convolutions(model)[1:]:
        relu = users[node.output[0]]
        following = users.get(relu.output[0])
        if relu.op_type == "Relu" and following is not None and following.op_type == "Conv":
            for tensor in weights_of(model, node):
                scale(tensor, factor)
            scale(weights_of(model, following)[0], 1 / factor)
            return model.SerializeToString(), node.name, following.name
    raise AssertionError("no two convolutions with a ReLU between them")


def chain(weights: Sequence[np.ndarray], size: int = 2, classes: int = 4) -> bytes:
    """Mean colour of each image, [batch, 3], then one matrix product after another with a ReLU between."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", size, size, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])
    nodes = [
        helper.make_node("Cast", ["image"], ["cast"], "cast", to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["cast", "axes"], ["mean"], "mean", keepdims=0),
    ]
    tensors = [numpy_helper.from_array(np.array([1, 2]), "axes")]
    value = "mean"
    for index, weight in enumerate(weights):
        tensors.append(numpy_helper.from_array(weight.astype(np.float32), f"weight{index}"))
        last = index == len(weights) - 1
        output = "logits" if last else f"product{index}"
        nodes.append(helper.make_node("MatMul", [value, f"weight{index}"], [output], f"matmul{index}"))
        if not last:
            value = f"relu{index}"
            nodes.append(helper.make_node("Relu", [output], [value], value))
    graph = helper.make_graph(nodes, "student", [image], [logits], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def error(reference: np.ndarray, data: bytes, images: np.ndarray) -> float:
    """Largest difference of the logits over the largest logit."""
    found = OnnxRuntime(data, threads=1).predict(images)
    return float(np.abs(found - reference).max() / np.abs(reference).max())
