"""Decides which nodes of a student compute in fp16, and gives the reason for each that does not."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exporters.core.errors import UnavailableError, UsageError
from exporters.fp16.rounding import LARGEST, SMALLEST_NORMAL, round_to_fp16
from exporters.onnx.graph import initializers, load_typed, node_name, opsets

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# They pass values on unchanged, or read the shape alone: a Cast around them would gain nothing.
MOVERS = frozenset(
    {"Flatten", "Identity", "Reshape", "Shape", "Size", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)
_BIAS = 2  # index of the input of Conv, ConvTranspose and Gemm whose small values do not matter next to the sum


@dataclass(frozen=True)
class Fp16Plan:
    """Which node computes in which type.

    Args:
        fp16: names of the nodes that compute in fp16, in the order of the file.
        preprocessing: names of the nodes before the first weight; they stay fp32.
        fp32: the other nodes that stay fp32, by name with the reason; nodes that only move values are not listed.
        vanishing: fp16 weights of which non-zero values become 0, by name with the number of such values.
        weighted: number of convolutions and matrix products in `fp16`.
    """

    fp16: tuple[str, ...]
    preprocessing: tuple[str, ...]
    fp32: dict[str, str]
    vanishing: dict[str, int]
    weighted: int


def plan_fp16(model: bytes, *, keep_float: Collection[str] = ()) -> Fp16Plan:
    """The plan that `exporters.fp16.convert.to_fp16` follows; same arguments, same errors."""
    return Decision(model, keep_float).plan()


class Decision:
    """The fp32 model and, node by node, which inputs and outputs become fp16.

    Arguments and errors: see `exporters.fp16.convert.to_fp16`.

    Attributes:
        model, types: the model with inferred shapes, and the element type of each value.
        nodes, weights: its nodes, and its initializers by name.
        slots: for each node in fp16, by name, the positions of its fp16 inputs and outputs.
    """

    def __init__(self, data: bytes, keep_float: Collection[str]) -> None:
        self.model, self.types = load_typed(data)
        self._refuse_nesting()
        self._lift_constants()
        self.nodes = list(self.model.graph.node)
        names = [node_name(node) for node in self.nodes]
        unknown = sorted(set(keep_float) - set(names))
        if unknown:
            raise UsageError(f"no node of the model is called {', '.join(unknown[:5])}")
        if len(set(names)) != len(names):
            raise UsageError("two nodes of the model have the same name")
        self.weights = initializers(self.model.graph)
        self.slots: dict[str, tuple[set[int], set[int]]] = {}
        self._opsets = opsets(self.model)
        self._preprocessing: list[str] = []
        self._fp32: dict[str, str] = {}
        self._decide(set(keep_float))

    def fp16_inputs(self, node: onnx.NodeProto) -> set[int]:
        """Positions of the inputs that the node reads in fp16."""
        return self.slots.get(node_name(node), (set(), set()))[0]

    def fp16_outputs(self, node: onnx.NodeProto) -> set[int]:
        """Positions of the outputs that the node computes in fp16."""
        return self.slots.get(node_name(node), (set(), set()))[1]

    def plan(self) -> Fp16Plan:
        """The decision without the model."""
        vanishing = {}
        for node in self.nodes:
            for index in sorted(self.fp16_inputs(node)):
                name = node.input[index]
                if name in self.weights:
                    values = numpy_helper.to_array(self.weights[name])
                    lost = int(np.sum((values != 0) & (round_to_fp16(values) == 0)))
                    if lost:
                        vanishing[name] = lost
        weighted = sum(node.op_type in WEIGHTED and node_name(node) in self.slots for node in self.nodes)
        return Fp16Plan(tuple(self.slots), tuple(self._preprocessing), dict(self._fp32), vanishing, weighted)

    def _refuse_nesting(self) -> None:
        nested = [
            node_name(node)
            for node in self.model.graph.node
            if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        ]
        nested += [function.name for function in self.model.functions]
        if nested:
            raise UnavailableError(
                f"control flow and functions are not converted to fp16: {', '.join(nested[:5])}",
                remedy="Inline them first, or ship the student in fp32.",
            )

    def _lift_constants(self) -> None:
        """Turn float constants into initializers, so that they are rounded here and not cast in every run."""
        graph = self.model.graph
        for node in list(graph.node):
            if node.op_type != "Constant" or self.types[node.output[0]] != TensorProto.FLOAT:
                continue
            value = helper.get_attribute_value(node.attribute[0])
            array = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value, np.float32)
            graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
            graph.node.remove(node)

    def _decide(self, keep: set[str]) -> None:
        before = {value.name for value in self.model.graph.input}  # values that do not depend on a weight
        after: set[str] = set()  # values that do
        in_fp16: set[str] = set()
        answers = {value.name for value in self.model.graph.output}
        calibrated: set[str] = set()  # values that follow from logits divided by a temperature
        for node in self.nodes:
            name = node_name(node)
            inputs, outputs = self._fp16_slots(node)
            floats = [output for output in node.output if self.types.get(output) == TensorProto.FLOAT]
            if node.op_type in WEIGHTED or any(value in after for value in node.input):
                after.update(floats)
            elif any(value in before for value in node.input):
                before.update(floats)
                self._preprocessing += [name] if floats else []
                continue
            source = node.input[0] if node.input else ""
            divides = node.op_type == "Div" and source in answers
            if divides or any(value in calibrated for value in node.input):
                calibrated.update(floats)
            if name in keep:
                reason: str | None = "asked for"
            elif calibrated.intersection(node.output):
                reason = "probabilities of divided logits, which are computed from the logits as they are put out"
            elif not inputs:
                reason = f"{node.op_type} gives fp32 here, whatever its inputs are"
                if any(self.types.get(value) == TensorProto.FLOAT for value in node.input):
                    reason = f"{node.op_type} has no fp16 form in opset {self._opsets.get(node.domain, '?')}"
            elif node.op_type in MOVERS and source not in self.weights and source not in in_fp16:
                continue
            else:
                reason = self._unfit_weight(node, inputs)
            if reason is None:
                self.slots[name] = inputs, outputs
                in_fp16.update(node.output[index] for index in outputs)
            elif floats or inputs:
                self._fp32[name] = reason

    def _fp16_slots(self, node: onnx.NodeProto) -> tuple[set[int], set[int]]:
        """Positions of the float inputs and outputs that the operator's schema also allows in fp16."""
        try:
            schema = onnx.defs.get_schema(node.op_type, self._opsets.get(node.domain, 1), node.domain)
        except onnx.defs.SchemaError:
            return set(), set()
        allowed = {entry.type_param_str: entry.allowed_type_strs for entry in schema.type_constraints}
        slots: list[set[int]] = []
        bound: set[str] = set()
        for is_input, values, formals in ((True, node.input, schema.inputs), (False, node.output, schema.outputs)):
            slots.append(set())
            for index, value in enumerate(values):
                if self.types.get(value) != TensorProto.FLOAT:
                    continue
                parameter = formals[min(index, len(formals) - 1)].type_str
                if "tensor(float16)" not in allowed.get(parameter, ()):
                    continue
                # An output whose type no input determines gets it from an attribute, as Cast does: left as it is.
                if is_input or parameter in bound:
                    slots[-1].add(index)
                    bound.add(parameter)
        has_float_output = any(self.types.get(output) == TensorProto.FLOAT for output in node.output)
        return (set(), set()) if has_float_output and not slots[1] else (slots[0], slots[1])

    def _unfit_weight(self, node: onnx.NodeProto, inputs: set[int]) -> str | None:
        """Why fp16 cannot hold one of the node's weights; None where it can."""
        for index in sorted(inputs):
            if node.input[index] not in self.weights:
                continue
            values = numpy_helper.to_array(self.weights[node.input[index]])
            if bool(np.any(np.isfinite(values) & ~np.isfinite(round_to_fp16(values)))):
                largest = float(np.abs(values[np.isfinite(values)]).max())
                return f"{node.input[index]} reaches {largest:.3g}, beyond fp16's {LARGEST:.5g}"
            largest = float(np.abs(values).max(initial=0))
            essential = values.size == 1 or (node.op_type in WEIGHTED and index != _BIAS)
            if essential and 0 < largest < SMALLEST_NORMAL:
                return (
                    f"{node.input[index]} is {largest:.3g} at most, below fp16's smallest normal number "
                    f"{SMALLEST_NORMAL:.3g}"
                )
        return None
