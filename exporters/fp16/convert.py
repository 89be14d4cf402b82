"""A student in fp16 or bf16, with islands of fp32 where 16 bits cannot hold it.

Input, normalisation and output stay as they are. A Cast stands only where a value changes sides, once for each value.
"""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exporters.fp16.plan import ELEMENT, MOVERS, Decision, checked, load_typed, node_name
from exporters.fp16.rounding import HalfType, half_bits

_HALF = frozenset(ELEMENT.values())
_EXACT = MOVERS | {"Concat", "Expand", "Gather", "Max", "MaxPool", "Min", "Neg", "Pad", "Relu", "Where"}


def to_half(model: bytes, *, dtype: HalfType = "fp16", keep_float: Collection[str] = ()) -> bytes:
    """The same student in 16 bits.

    A node stays fp32 if it is named in `keep_float`, comes before the first weight, has no 16-bit form in the file's
    opset, or has a weight that 16 bits cannot hold: a value beyond the largest finite one, or all values below the
    smallest normal one (`plan_half` tells which). Weights are rounded to nearest, ties to even; none is clamped.

    Args:
        model: bytes of an fp32 file, `image` uint8 `[batch, size, size, 3]` to float32 outputs.
        dtype: bf16 has convolutions from opset 22 on.
        keep_float: names of nodes; a node without a name goes by that of its first output.

    Returns:
        The bytes of the file: same inputs, outputs, metadata, opset and IR version; nodes and values keep their names.
        The same arguments give the same bytes.

    Raises:
        UsageError: a name in `keep_float` that no node has.
        UnavailableError: control flow or functions inside, or the opset has most weighted operators in fp32 only.
        GateError: not a valid ONNX file, before or after.
    """
    return write_half(Decision(model, dtype, keep_float))


def write_half(decision: Decision) -> bytes:
    """The file of a decision; see `to_half`."""
    return _Writer(decision).write()


def emulate_half(model: bytes) -> bytes:
    """An fp32 file that computes what a device with 16-bit kernels computes from the file of `to_half`.

    ONNX Runtime's CPU provider computes most fp16 nodes in fp32 and rounds nothing between them, so that an overflow
    stays unseen there; bf16 it does not run at all. Here each 16-bit value is rounded where it is made, after a sum in
    fp32 as tensor cores have it. Nodes and values keep their names; a file without 16-bit values is returned as it is.

    Raises:
        GateError: not a valid ONNX file.
    """
    source, types = load_typed(model)
    if not set(types.values()) & _HALF:
        return model
    written: list[onnx.NodeProto] = []
    for node in source.graph.node:
        half = {types.get(value) for value in node.output} & _HALF
        written.append(node)
        if node.op_type == "Cast" and half:
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
        if node.op_type in _EXACT:
            continue
        for index, value in enumerate(node.output):
            if types.get(value) in _HALF:
                node.output[index] = f"{value}.unrounded"
                written.append(_cast(node.output[index], f"{value}.rounded", types[value]))
                written.append(_cast(f"{value}.rounded", value, TensorProto.FLOAT))
    weights = []
    for tensor in source.graph.initializer:
        if tensor.data_type in _HALF:
            weights.append(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
        else:
            weights.append(tensor)
    return _serialise(source, written, weights)


def _cast(source: str, target: str, element: int, name: str = "") -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name or f"{target}.cast", to=element)


def _serialise(model: onnx.ModelProto, nodes: list[onnx.NodeProto], weights: list[TensorProto]) -> bytes:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for field, values in (("node", nodes), ("initializer", weights), ("value_info", [])):
        result.graph.ClearField(field)
        getattr(result.graph, field).extend(values)
    return checked(result).SerializeToString(deterministic=True)


class _Writer:
    """Writes the decided graph node by node; knows what each value is called on either side."""

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
            half_inputs, half_outputs = decision.half.get(node_name(original), (set(), set()))
            for index, value in enumerate(original.input):
                if self._is_float(value):
                    element = decision.element if index in half_inputs else TensorProto.FLOAT
                    node.input[index] = self._as(value, element)
            self.nodes.append(node)
            for index, value in enumerate(original.output):
                if not self._is_float(value):
                    continue
                if index not in half_outputs:
                    self.names[value] = {TensorProto.FLOAT: value}
                elif value not in outputs:
                    self.names[value] = {decision.element: value}
                else:  # what leaves the graph keeps its name and type
                    node.output[index] = self._fresh(f"{value}_{decision.dtype}")
                    self.names[value] = {decision.element: node.output[index], TensorProto.FLOAT: value}
                    name = self._fresh(f"{value}_to_fp32")
                    self.nodes.append(_cast(node.output[index], value, TensorProto.FLOAT, name))
        return _serialise(decision.model, self.nodes, weights)

    def _is_float(self, value: str) -> bool:
        return self.decision.types.get(value) == TensorProto.FLOAT

    def _fresh(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _as(self, value: str, element: int) -> str:
        """What the value is called in this type; a Cast is written where it is wanted first."""
        names = self.names[value]
        if element not in names:
            (source,) = names.values()
            side = self.decision.dtype if element == self.decision.element else "fp32"
            names[element] = self._fresh(f"{value}_{side}")
            self.nodes.append(_cast(source, names[element], element, self._fresh(f"{value}_to_{side}")))
        return names[element]

    def _weights(self) -> list[TensorProto]:
        """The initializers in the types that their readers want, twice where these differ."""
        decision = self.decision
        wanted: dict[str, set[int]] = {}
        for node in decision.nodes:
            half_inputs, _ = decision.half.get(node_name(node), (set(), set()))
            for index, value in enumerate(node.input):
                element = decision.element if index in half_inputs else TensorProto.FLOAT
                wanted.setdefault(value, set()).add(element)
        result = []
        for name, tensor in decision.weights.items():
            elements = wanted.get(name, set()) if self._is_float(name) else set()
            if elements != {decision.element}:
                self.names[name] = {TensorProto.FLOAT: name}
                result.append(tensor)
            if decision.element in elements:
                half_name = name if len(elements) == 1 else self._fresh(f"{name}_{decision.dtype}")
                self.names.setdefault(name, {})[decision.element] = half_name
                bits = half_bits(numpy_helper.to_array(tensor), decision.dtype)
                raw = bits.astype("<u2").tobytes()
                result.append(helper.make_tensor(half_name, decision.element, tensor.dims, raw, raw=True))
        return result
