"""Keeps ONNX Runtime from quantising what is meant to stay in float."""

import onnx
from onnx import helper


def barrier(value: str, result: str, name: str) -> onnx.NodeProto:
    """A node that passes a value on, between its DequantizeLinear and a layer that computes in float.

    Without one ONNX Runtime 1.20 and later (`WeightBiasQuantization`) quantise the weights of that layer when the file
    is loaded, with one scale for all channels. An Identity would be removed before that; a maximum of one value is not.
    """
    return helper.make_node("Max", [value], [result], name)
