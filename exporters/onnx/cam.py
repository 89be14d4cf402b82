"""Adds the output `cam` to an exported file: the class activation map of the most likely class.

Zhou et al., "Learning Deep Features for Discriminative Localization" (CVPR 2016), equation 2. Of K classes the map of
one is computed, so that it costs C·h·w products in place of K·C·h·w. It is added to a finished file of any precision;
the layers and weights that it reads are those that give the logits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exporters.core.errors import GateError, UnavailableError
from exporters.core.outputs import CAM_NAME, OUTPUT_NAME
from exporters.onnx.graph import attribute, checked, initializers, load_typed, node_name, producers

_PREFIX = "cam_"
PRODUCT = f"{_PREFIX}product"
"""The node that multiplies the map by the classifier's row."""

_FARTHEST = 16  # nodes between the pooled map and the classifier


@dataclass(frozen=True)
class CamSource:
    """Where a file has what a class activation map is made of; nodes keep their names in every precision.

    Attributes:
        pooling: the node whose first input is the last feature map `[batch, C, h, w]`.
        classifier: the node whose second input is the classifier's weight.
        class_axis: the axis of the classes in that weight: 0 for `[K, C]`, 1 for `[C, K]`.
        channels, map_size: C, and (h, w).
    """

    pooling: str
    classifier: str
    class_axis: int
    channels: int
    map_size: tuple[int, int]


@dataclass(frozen=True)
class WithCam:
    """A file with the output `cam`, and those nodes of the map that compute in fp32 in a file of fp16."""

    data: bytes
    kept_float: tuple[str, ...]


def find_cam_source(data: bytes) -> CamSource:
    """Find the last map and the classifier of an fp32 file whose student has class activation maps.

    Args:
        data: the bytes of the file, without the output `cam`.

    Raises:
        UnavailableError: its logits are not those of one linear layer on a pooled map, as far as the graph tells.
    """
    model, _ = load_typed(data)
    graph = model.graph
    makers, weights = producers(graph), initializers(graph)
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in [*graph.value_info, *graph.input]
    }
    node = makers[OUTPUT_NAME]
    if node.op_type == "Add":  # of the bias
        node = next((makers[value] for value in node.input if value in makers), node)
    if node.op_type in {"Gemm", "MatMul"} and node.input[1] in weights and len(weights[node.input[1]].dims) == 2:
        axis = 0 if attribute(node, "transB", 0) else 1
        channels = weights[node.input[1]].dims[1 - axis]
        value = node.input[0]
        for _ in range(_FARTHEST):
            maker = makers.get(value)
            if maker is None or not maker.input:
                break
            value = maker.input[0]
            shape = shapes.get(value, ())
            if len(shape) == 4 and shape[1] == channels and shape[2] * shape[3] > 1:
                return CamSource(node_name(maker), node_name(node), axis, channels, (shape[2], shape[3]))
    raise UnavailableError(
        f"no class activation map can be added to the exported graph: {OUTPUT_NAME} come from {node.op_type}"
        f" {node_name(node)}, which is no linear layer on a pooled map",
        remedy="Export without class activation maps, or another network.",
    )


def with_cam(data: bytes, source: CamSource, *, dequantize_row: bool = True) -> WithCam:
    """A file with `cam`, float32 `[batch, h, w]`, as its last output; nothing else of it changes.

    Args:
        data: the fp32 file, or one that was made of it.
        source: as `find_cam_source` found it in the fp32 file.
        dequantize_row: of a classifier in 8 bits, take the row of 8-bit weights and scale it; else the row of the
            scaled weights, which TensorRT wants, and for which ONNX Runtime scales all weights each time.

    Raises:
        GateError: the result is not valid ONNX, or the file is not made of that one.
    """
    model, types = load_typed(data)
    graph = model.graph
    nodes = {node_name(node): node for node in graph.node}
    if source.pooling not in nodes or source.classifier not in nodes:
        raise GateError(f"the model has no nodes {source.pooling} and {source.classifier}")
    features, weight = nodes[source.pooling].input[0], nodes[source.classifier].input[1]
    (height, width), adding = source.map_size, _Nodes(graph)
    index = adding.node("ArgMax", [OUTPUT_NAME], "class", axis=1, keepdims=1)
    maker = producers(graph).get(weight)
    if dequantize_row and maker is not None and maker.op_type == "DequantizeLinear":
        row, row_type = _dequantized_row(adding, maker, index, source.class_axis), int(TensorProto.FLOAT)
    else:
        row, row_type = adding.row(weight, index, source.class_axis), types[weight]
    flat = adding.node(
        "Reshape", [features, adding.integers("flat_shape", [0, source.channels, height * width])], "flat"
    )
    element = row_type if row_type == types[features] else TensorProto.FLOAT
    if types[features] != element:
        flat = adding.node("Cast", [flat], "flat_fp32", to=element)
    if row_type != element:
        row = adding.node("Cast", [row], "row_fp32", to=element)
    product = adding.node("MatMul", [row, flat], "product")
    if element != TensorProto.FLOAT:
        product = adding.node("Cast", [product], "product_fp32", to=TensorProto.FLOAT)
    graph.node.append(
        helper.make_node(
            "Reshape", [product, adding.integers("shape", [0, height, width])], [CAM_NAME], f"{_PREFIX}map"
        )
    )
    graph.output.append(helper.make_tensor_value_info(CAM_NAME, TensorProto.FLOAT, ["batch", height, width]))
    written = checked(model, "the model with class activation maps").SerializeToString(deterministic=True)
    in_fp16 = TensorProto.FLOAT16 in types.values()
    return WithCam(written, (PRODUCT,) if in_fp16 and element == TensorProto.FLOAT else ())


class _Nodes:
    """Adds nodes and constants to a graph, all called `cam_…`."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        name = f"{_PREFIX}{output}"
        self.graph.node.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def integers(self, name: str, values: list[int]) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), f"{_PREFIX}{name}"))
        return f"{_PREFIX}{name}"

    def row(self, weight: str, index: str, axis: int) -> str:
        """The row of a weight that `index` `[batch, 1]` names: `[batch, 1, C]`."""
        row = self.node("Gather", [weight, index], "row", axis=axis)
        return row if axis == 0 else self.node("Transpose", [row], "row_first", perm=[1, 2, 0])


def _dequantized_row(adding: _Nodes, dequantize: onnx.NodeProto, index: str, axis: int) -> str:
    """The row of a weight in 8 bits, by its scale: float32 `[batch, 1, C]`. Weights have no zero point."""
    weight, scale = dequantize.input[:2]
    constants = initializers(adding.graph)
    if len(dequantize.input) > 2 and numpy_helper.to_array(constants[dequantize.input[2]]).any():
        raise GateError(f"{node_name(dequantize)}: the classifier's weights have a zero point")
    row = adding.node("Cast", [adding.row(weight, index, axis)], "row_floats", to=TensorProto.FLOAT)
    if constants[scale].dims:
        if attribute(dequantize, "axis", 1) != axis:
            raise GateError(f"{node_name(dequantize)}: the classifier's scales are not those of its classes")
        scale = adding.node("Gather", [scale, index], "scale", axis=0)
        scale = adding.node("Reshape", [scale, adding.integers("scale_shape", [0, 1, 1])], "scales")
    return adding.node("Mul", [row, scale], "row_scaled")
