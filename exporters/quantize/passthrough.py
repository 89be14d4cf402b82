"""A node that keeps ONNX Runtime from quantizing layers that are meant to stay in float."""

import onnx
from onnx import helper


def pass_through(value: str, result: str, name: str) -> onnx.NodeProto:
    """A node that passes a value on unchanged, between a DequantizeLinear and a layer that computes in float.

    Without it ONNX Runtime 1.20 and later (`WeightBiasQuantization`) quantizes the weights of that layer when the file
    is loaded, with one scale for all channels. An Identity would be removed before that; a Max of one value is not.

    Args:
        value, result: names of the input and the output.
        name: of the node.
    """
    return helper.make_node("Max", [value], [result], name)
