"""Conversion of a student to fp16, with the nodes in fp32 whose weights or values fp16 cannot hold.

Input, normalization and output stay as they are. A Cast is inserted only where a value changes its type, and once for
each value.
"""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exporters.fp16.plan import MOVERS, Decision
from exporters.fp16.rounding import round_to_fp16
from exporters.onnx.graph import checked, copy_of, load_typed, node_name

# They compute values that fp16 holds exactly where their inputs are fp16 values.
_EXACT = MOVERS | {"Concat", "Expand", "Gather", "Max", "MaxPool", "Min", "Neg", "Pad", "Relu", "Where"}


def to_fp16(model: bytes, *, keep_float: Collection[str] = ()) -> bytes:
    """Convert an fp32 student to fp16.

    A node stays fp32 if it is named in `keep_float`, comes before the first weight, has no fp16 form in the file's
    opset, or has a weight that fp16 cannot hold: a value beyond the largest finite one, or all values below the
    smallest normal one (`plan_fp16` gives the reason for each). Weights are rounded to nearest, ties to even; none is
    clamped.

    Args:
        model: bytes of an fp32 file, `image` uint8 `[batch, size, size, 3]` to float32 outputs.
        keep_float: names of nodes; a node without a name goes by that of its first output.

    Returns:
        The bytes of the file: same inputs, outputs, metadata, opset and IR version; nodes and values keep their names.
        The same arguments give the same bytes.

    Raises:
        UsageError: a name in `keep_float` that no node has.
        UnavailableError: control flow or functions in the model.
        GateError: not a valid ONNX file, before or after.
    """
    return write_fp16(Decision(model, keep_float))


def write_fp16(decision: Decision) -> bytes:
    """The bytes of the converted file; see `to_fp16`."""
    return _Writer(decision).write()


def emulate_fp16(model: bytes) -> bytes:
    """An fp32 file that computes what a device with fp16 kernels computes from the file of `to_fp16`.

    ONNX Runtime's CPU provider computes most fp16 nodes in fp32 and rounds nothing between them, so that an overflow
    remains unseen there. Here each fp16 value is rounded where it is computed, after a sum in fp32 as in tensor cores.
    Nodes and values keep their names; a file without fp16 values is returned as it is.

    Raises:
        GateError: not a valid ONNX file.
    """
    source, types = load_typed(model)
    if TensorProto.FLOAT16 not in types.values():
        return model
    nodes: list[onnx.NodeProto] = []
    for node in source.graph.node:
        computed = [index for index, value in enumerate(node.output) if types.get(value) == TensorProto.FLOAT16]
        nodes.append(node)
        if node.op_type == "Cast" and computed:
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
        if node.op_type in _EXACT:
            continue
        for index in computed:
            value = node.output[index]
            node.output[index] = f"{value}.unrounded"
            nodes.append(_cast(node.output[index], f"{value}.rounded", TensorProto.FLOAT16))
            nodes.append(_cast(f"{value}.rounded", value, TensorProto.FLOAT))
    weights = []
    for tensor in source.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            weights.append(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
        else:
            weights.append(tensor)
    return _serialize(source, nodes, weights)


def _cast(source: str, target: str, element: int, name: str = "") -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name or f"{target}.cast", to=element)


def _serialize(model: onnx.ModelProto, nodes: list[onnx.NodeProto], weights: list[TensorProto]) -> bytes:
    """The bytes of the model with other nodes and initializers, checked."""
    result = copy_of(model)
    for field, values in (("node", nodes), ("initializer", weights), ("value_info", [])):
        result.graph.ClearField(field)
        getattr(result.graph, field).extend(values)
    return checked(result).SerializeToString(deterministic=True)


class _Writer:
    """Writes the nodes one by one and keeps track of the names that each value has, by element type."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.names: dict[str, dict[int, str]] = {}
        self.taken = set(decision.types) | {node_name(node) for node in decision.nodes}
        self.nodes: list[onnx.NodeProto] = []

    def write(self) -> bytes:
        decision = self.decision
        graph = decision.model.graph
        outputs = {value.name for value in graph.output}
        self.names = {value.name: {TensorProto.FLOAT: value.name} for value in graph.input}
        weights = self._weights()
        for original in decision.nodes:
            node = onnx.NodeProto()
            node.CopyFrom(original)
            for index, value in enumerate(original.input):
                if self._is_float(value):
                    node.input[index] = self._as(value, self._read_as(original, index))
            self.nodes.append(node)
            for index, value in enumerate(original.output):
                if not self._is_float(value):
                    continue
                if index not in decision.fp16_outputs(original):
                    self.names[value] = {TensorProto.FLOAT: value}
                elif value not in outputs:
                    self.names[value] = {TensorProto.FLOAT16: value}
                else:  # an output of the graph keeps its name and type
                    node.output[index] = self._fresh(f"{value}_fp16")
                    self.names[value] = {TensorProto.FLOAT16: node.output[index], TensorProto.FLOAT: value}
                    name = self._fresh(f"{value}_to_fp32")
                    self.nodes.append(_cast(node.output[index], value, TensorProto.FLOAT, name))
        return _serialize(decision.model, self.nodes, weights)

    def _is_float(self, value: str) -> bool:
        return self.decision.types.get(value) == TensorProto.FLOAT

    def _read_as(self, node: onnx.NodeProto, index: int) -> int:
        """The element type in which the node reads its input at `index`."""
        return TensorProto.FLOAT16 if index in self.decision.fp16_inputs(node) else TensorProto.FLOAT

    def _fresh(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _as(self, value: str, element: int) -> str:
        """The name of the value in this element type; the first time that it is needed, a Cast is inserted."""
        names = self.names[value]
        if element not in names:
            (source,) = names.values()
            precision = "fp16" if element == TensorProto.FLOAT16 else "fp32"
            names[element] = self._fresh(f"{value}_{precision}")
            self.nodes.append(_cast(source, names[element], element, self._fresh(f"{value}_to_{precision}")))
        return names[element]

    def _weights(self) -> list[TensorProto]:
        """The initializers in the types in which they are read, twice where nodes differ."""
        wanted: dict[str, set[int]] = {}
        for node in self.decision.nodes:
            for index, value in enumerate(node.input):
                wanted.setdefault(value, set()).add(self._read_as(node, index))
        result = []
        for name, tensor in self.decision.weights.items():
            elements = wanted.get(name, set()) if self._is_float(name) else set()
            if elements != {TensorProto.FLOAT16}:
                self.names[name] = {TensorProto.FLOAT: name}
                result.append(tensor)
            if TensorProto.FLOAT16 in elements:
                fp16_name = name if len(elements) == 1 else self._fresh(f"{name}_fp16")
                self.names.setdefault(name, {})[TensorProto.FLOAT16] = fp16_name
                raw = round_to_fp16(numpy_helper.to_array(tensor)).astype("<f2").tobytes()
                result.append(helper.make_tensor(fp16_name, TensorProto.FLOAT16, tensor.dims, raw, raw=True))
        return result
