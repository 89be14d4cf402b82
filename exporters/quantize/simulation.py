"""Simulates in fp32 the error of an int8 file for a choice of layers; faster than quantizing for each choice."""

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exporters.onnx.graph import attribute, copy_of, initializers
from exporters.quantize.calibration import Ranges
from exporters.quantize.passthrough import pass_through
from exporters.quantize.selection import Network, Target

_UINT8, _INT8 = 255, 127


def rounded_weights(quantized: bytes) -> dict[str, np.ndarray]:
    """The weights of an int8 file, dequantized to float32, by name."""
    graph = onnx.load_from_string(quantized).graph
    tensors = initializers(graph)
    weights = {}
    for node in graph.node:
        tensor = tensors.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if tensor is None or tensor.data_type != TensorProto.INT8:
            continue
        values = numpy_helper.to_array(tensor).astype(np.float32)
        scale = numpy_helper.to_array(tensors[node.input[1]])
        axis = attribute(node, "axis", 1)
        shape = [1] * values.ndim
        if scale.ndim == 1:
            shape[axis] = len(scale)
        weights[tensor.name.removesuffix("_quantized")] = values * scale.reshape(shape)
    return weights


def simulate(
    network: Network, ranges: Ranges, weights: Mapping[str, np.ndarray], target: Target, keep_float: Collection[str]
) -> bytes:
    """An fp32 file that computes what the file of `quantize` would, except for the rounding of biases.

    Each value that is carried in 8 bits is rounded where it is computed. With one layer in 8 bits the errors are those
    of the int8 file; with many, the errors are of the same size, not the same.

    Args:
        network: the fp32 file.
        ranges: of its activations.
        weights: the result of `rounded_weights`.
        target, keep_float: as for `quantize`.
    """
    chosen = set(network.select(target, keep_float))
    rounded = set(network.values_in_8_bits(target, keep_float))
    layers = set(network.layers) & chosen
    model = copy_of(network.model)
    del model.graph.node[:]
    replaced = {name for node in network.model.graph.node if node.name in layers for name in node.input[1:2]}
    for tensor in model.graph.initializer:
        if tensor.name in replaced:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    for original in network.model.graph.node:
        node = model.graph.node.add()
        node.CopyFrom(original)
        for index, value in enumerate(original.input):
            if value in rounded:
                node.input[index] = f"{value}.rounded"
        for value in original.output:
            if value in rounded:
                _round(model.graph, value, ranges.values[value], target)
    return model.SerializeToString()


def _round(graph: onnx.GraphProto, value: str, ends: tuple[float, float], target: Target) -> None:
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    if target == "cpu":
        step = (high - low) / _UINT8 or 1.0
        zero = np.array(round(-low / step), np.uint8)
    else:
        step = max(-low, high) / _INT8 or 1.0
        zero = np.array(0, np.int8)
    names = [f"{value}.step", f"{value}.zero"]
    graph.initializer.append(numpy_helper.from_array(np.array(step, np.float32), names[0]))
    graph.initializer.append(numpy_helper.from_array(zero, names[1]))
    graph.node.append(helper.make_node("QuantizeLinear", [value, *names], [f"{value}.bits"], f"{value}.quantize"))
    floats = f"{value}.floats"
    graph.node.append(helper.make_node("DequantizeLinear", [f"{value}.bits", *names], [floats], f"{value}.dequantize"))
    graph.node.append(pass_through(floats, f"{value}.rounded", f"{value}.keep"))
