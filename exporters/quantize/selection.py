"""Selects the nodes of a network that compute in 8 bits.

Layers with a constant weight do. Nodes between them (an addition, an activation, a pooling) do on CPUs where all of
their inputs are in 8 bits already: elsewhere they would lose precision and save no time. Normalization layers, softmax
and attention's products of two activations stay in float, and so does everything before the first layer.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import onnx

from exporters.core.errors import UsageError
from exporters.onnx.graph import attribute, initializers

Target = Literal["cpu", "tensorrt"]
"""`cpu`: uint8 activations, int8 weights, for ONNX Runtime. `tensorrt`: both int8, symmetric, biases in float."""

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_PASSING = (  # they move values, or take their largest or mean
    "AveragePool",
    "Flatten",
    "MaxPool",
    "Pad",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
_REMOVABLE = ("Clip", "Relu")
_BETWEEN = ("Add", "Concat", "GlobalAveragePool", "LeakyRelu", "Mul", "Sigmoid", *_PASSING, *_REMOVABLE)
_ALL_INPUTS = ("Add", "Concat", "Mul")
OPERATORS = (*LAYERS, *_BETWEEN)


@dataclass(frozen=True)
class Network:
    """The graph of an exported network, with what the choice of nodes asks again and again."""

    model: onnx.ModelProto

    @cached_property
    def constants(self) -> dict[str, onnx.TensorProto]:
        """Initializers by name."""
        return initializers(self.model.graph)

    @cached_property
    def consumers(self) -> dict[str, int]:
        """Number of reads of each value; an output of the graph counts as one."""
        counts: dict[str, int] = {}
        names = [name for node in self.model.graph.node for name in node.input]
        for name in [*names, *(value.name for value in self.model.graph.output)]:
            counts[name] = counts.get(name, 0) + 1
        return counts

    @cached_property
    def outputs(self) -> set[str]:
        """The outputs of the graph."""
        return {value.name for value in self.model.graph.output}

    @cached_property
    def layers(self) -> list[str]:
        """Names of all layers that can be quantized, in the order of the file."""
        return [node.name for node in self.model.graph.node if self._is_layer(node)]

    def depthwise(self) -> Iterator[str]:
        """Weights of depthwise convolutions with one output channel per input channel."""
        for node in self.model.graph.node:
            if node.op_type == "Conv" and self._is_layer(node):
                dims = list(self.constants[node.input[1]].dims)
                if len(dims) == 4 and dims[1] == 1 and dims[0] == attribute(node, "group", 1) > 1:
                    yield node.input[1]

    def select(self, target: Target, keep_float: Collection[str] = ()) -> list[str]:
        """The names of the nodes that compute in 8 bits.

        Args:
            target: see `Target`.
            keep_float: names of nodes that do not.

        Raises:
            UsageError: a name that no node has, nodes without names of their own, or nothing left to quantize.
        """
        chosen, _ = self._walk(target, keep_float)
        return chosen

    def values_in_8_bits(self, target: Target, keep_float: Collection[str] = ()) -> list[str]:
        """The activations that are carried in 8 bits, in the order of the file; arguments and errors of `select`.

        The input of a ReLU that is dropped in 8 bits is not among them.
        """
        chosen, integers = self._walk(target, keep_float)
        for node in self.model.graph.node:
            if node.name in chosen and self._is_dropped(node):
                integers.discard(node.input[0])
        return [name for node in self.model.graph.node for name in node.output if name in integers]

    def _walk(self, target: Target, keep_float: Collection[str]) -> tuple[list[str], set[str]]:
        names = [node.name for node in self.model.graph.node]
        if len(set(names)) < len(names) or "" in names:
            raise UsageError("int8: every node of the model needs a name of its own")
        unknown = sorted(set(keep_float) - set(names))
        if unknown:
            raise UsageError(f"int8: the model has no node {', '.join(map(repr, unknown[:3]))} to keep in float")
        floats = set(keep_float)
        chosen: list[str] = []
        integers: set[str] = set()  # values that are carried in 8 bits
        for node in self.model.graph.node:
            if node.name in floats:
                continue
            if self._is_layer(node):
                integers.add(node.input[0])
                quantizes_output = target == "cpu" and node.op_type != "MatMul"
            elif target == "cpu" and node.op_type in _BETWEEN and integers.issuperset(self._data_inputs(node)):
                quantizes_output = True
            else:
                continue
            chosen.append(node.name)
            if quantizes_output:
                integers.update(set(node.output) - self.outputs)
        if not set(chosen) & set(self.layers):
            raise UsageError("int8: there is no layer to quantize")
        return chosen, integers

    def ranges_needed(self) -> tuple[list[str], dict[str, str]]:
        """Activations whose range must be measured, and those that take the range of another one.

        The input of a ReLU that is dropped in 8 bits takes the range of its output; nodes that only move values keep
        the range of their input.
        """
        measured: dict[str, None] = {}
        same: dict[str, str] = {}
        chosen = set(self.select("cpu"))
        for node in self.model.graph.node:
            if node.name not in chosen:
                continue
            if node.op_type in _PASSING:
                same.update(dict.fromkeys(node.output, node.input[0]))
            elif self._is_dropped(node):
                same[node.input[0]] = node.output[0]
                measured.pop(node.input[0], None)
            values = [*self._data_inputs(node), *node.output]
            measured.update(dict.fromkeys(name for name in values if name not in same and name not in self.outputs))
        return list(measured), same

    def _is_dropped(self, node: onnx.NodeProto) -> bool:
        return node.op_type in _REMOVABLE and self.consumers[node.input[0]] == 1

    def _is_layer(self, node: onnx.NodeProto) -> bool:
        if node.op_type not in LAYERS or len(node.input) < 2:
            return False
        constant = [self.constants.get(name) for name in node.input[1:] if name]
        floats = all(tensor is not None and tensor.data_type == onnx.TensorProto.FLOAT for tensor in constant)
        plain = node.op_type != "Gemm" or (attribute(node, "transA", 0) == 0 and _unscaled(node))
        return floats and plain and node.input[0] not in self.constants

    def _data_inputs(self, node: onnx.NodeProto) -> list[str]:
        return list(node.input) if node.op_type in _ALL_INPUTS else [node.input[0]]


def _unscaled(node: onnx.NodeProto) -> bool:
    return attribute(node, "alpha", 1) == 1 and attribute(node, "beta", 1) == 1
