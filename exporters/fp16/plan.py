"""Which nodes of a student can be computed in 16 bits, and why the others cannot."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.fp16.rounding import LARGEST, SMALLEST_NORMAL, HalfType, from_half_bits, half_bits

ELEMENT: dict[HalfType, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# They pass values on unchanged, or look at the shape alone: a Cast around them would buy nothing.
MOVERS = frozenset(
    {"Flatten", "Identity", "Reshape", "Shape", "Size", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)
_SCHEMA_TYPE = {"fp16": "tensor(float16)", "bf16": "tensor(bfloat16)"}
_BIAS = 2  # the input of Conv, ConvTranspose and Gemm that may vanish unharmed beside the sum


@dataclass(frozen=True)
class HalfPlan:
    """What is computed in which type.

    Args:
        half: names of the nodes that compute in 16 bits, in the order of the file.
        border: names of the nodes before the first weight; fp32.
        islands: name of each other node that stays fp32 to why it does; nodes that only pass values on are not listed.
        vanishing: name of each 16-bit weight to how many of its non-zero values become 0.
        weighted: how many convolutions and matrix products are in `half`.
    """

    half: tuple[str, ...]
    border: tuple[str, ...]
    islands: dict[str, str]
    vanishing: dict[str, int]
    weighted: int


def plan_half(model: bytes, *, dtype: HalfType = "fp16", keep_float: Collection[str] = ()) -> HalfPlan:
    """What `to_half` would do, with its reasons; same arguments, same errors."""
    return Decision(model, dtype, keep_float).plan()


def load_typed(data: bytes) -> tuple[onnx.ModelProto, dict[str, int]]:
    """A model with inferred shapes, and the element type of each of its values by name.

    Raises:
        GateError: not a valid ONNX file.
    """
    try:
        model = checked(onnx.load_from_string(data))
    except DecodeError as error:
        raise GateError("damaged or not an ONNX file") from error
    graph = model.graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*graph.value_info, *graph.input, *graph.output]}
    return model, types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shape of every value, checked; an invalid one raises GateError."""
    try:
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateError(f"the model is not valid ONNX: {str(error).splitlines()[0]}") from error
    return model


def node_name(node: onnx.NodeProto) -> str:
    """The node's name, or that of its first output."""
    return node.name or node.output[0]


class Decision:
    """The fp32 model and, node by node, what of it becomes 16 bits; arguments and errors of `to_half`."""

    def __init__(self, data: bytes, dtype: HalfType, keep_float: Collection[str]) -> None:
        if dtype not in ELEMENT:
            raise UsageError(f"unknown 16-bit type {dtype!r}", remedy=f"Known: {', '.join(ELEMENT)}.")
        self.dtype: HalfType = dtype
        self.element = ELEMENT[dtype]
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
        self.weights = {tensor.name: tensor for tensor in self.model.graph.initializer}
        self.opsets = {entry.domain: entry.version for entry in self.model.opset_import}
        self.border: list[str] = []
        self.islands: dict[str, str] = {}
        self.half: dict[str, tuple[set[int], set[int]]] = {}  # node to its 16-bit inputs and outputs
        self._decide(set(keep_float))

    def plan(self) -> HalfPlan:
        """The decision without the model."""
        vanishing = {}
        for node in self.nodes:
            for index in sorted(self.half.get(node_name(node), (set(), set()))[0]):
                name = node.input[index]
                if name in self.weights:
                    values = numpy_helper.to_array(self.weights[name])
                    lost = int(np.sum((values != 0) & (self._rounded(values) == 0)))
                    if lost:
                        vanishing[name] = lost
        weighted = sum(node.op_type in WEIGHTED and node_name(node) in self.half for node in self.nodes)
        return HalfPlan(tuple(self.half), tuple(self.border), dict(self.islands), vanishing, weighted)

    def _rounded(self, values: np.ndarray) -> np.ndarray:
        return from_half_bits(half_bits(values, self.dtype), self.dtype)

    def _refuse_nesting(self) -> None:
        nested = [
            node_name(node)
            for node in self.model.graph.node
            if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        ]
        nested += [function.name for function in self.model.functions]
        if nested:
            raise UnavailableError(
                f"control flow and functions are not converted to {self.dtype}: {', '.join(nested[:5])}",
                remedy="Inline them first, or ship the student in fp32.",
            )

    def _lift_constants(self) -> None:
        """Float constants become initializers, so that they are rounded here and not cast in every run."""
        graph = self.model.graph
        for node in list(graph.node):
            if node.op_type != "Constant" or self.types[node.output[0]] != TensorProto.FLOAT:
                continue
            value = helper.get_attribute_value(node.attribute[0])
            array = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value, np.float32)
            graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
            graph.node.remove(node)

    def _decide(self, keep: set[str]) -> None:
        before = {value.name for value in self.model.graph.input}  # values that no weight has touched
        after: set[str] = set()
        halved: set[str] = set()
        without_kernel = []
        for node in self.nodes:
            name = node_name(node)
            inputs, outputs = self._half_slots(node)
            floats = [output for output in node.output if self.types.get(output) == TensorProto.FLOAT]
            computes = bool(floats or inputs)
            weighted = node.op_type in WEIGHTED or any(value in after for value in node.input)
            if weighted:
                after.update(floats)
            elif any(value in before for value in node.input):
                before.update(floats)
                self.border += [name] if floats else []
                continue
            source = node.input[0] if node.input else ""
            reason = None
            if name in keep:
                reason = "asked for"
            elif not inputs:
                if node.op_type in WEIGHTED:
                    without_kernel.append(node)
                reason = f"{node.op_type} gives fp32 here, whatever its inputs are"
                if any(self.types.get(value) == TensorProto.FLOAT for value in node.input):
                    reason = f"{node.op_type} has no {self.dtype} form in opset {self.opsets.get(node.domain, '?')}"
            elif node.op_type in MOVERS and source not in self.weights and source not in halved:
                continue
            else:
                reason = self._unfit_weight(node, inputs)
            if reason is None:
                self.half[name] = inputs, outputs
                halved.update(node.output[index] for index in outputs)
            elif computes:
                self.islands[name] = reason
        total = sum(node.op_type in WEIGHTED for node in self.nodes)
        if 2 * len(without_kernel) > total:
            first = without_kernel[0]
            raise UnavailableError(
                f"opset {self.opsets[first.domain]} has no {first.op_type} in {self.dtype}: {len(without_kernel)} of "
                f"{total} weighted nodes would stay fp32",
                remedy="Export with opset 22 or later.",
            )

    def _half_slots(self, node: onnx.NodeProto) -> tuple[set[int], set[int]]:
        """Positions of the float inputs and outputs that the operator's schema also has in 16 bits."""
        try:
            schema = onnx.defs.get_schema(node.op_type, self.opsets.get(node.domain, 1), node.domain)
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
                if _SCHEMA_TYPE[self.dtype] not in allowed.get(parameter, ()):
                    continue
                # An output whose type no input binds gets it from an attribute, as Cast does: left as it is.
                if is_input or parameter in bound:
                    slots[-1].add(index)
                    bound.add(parameter)
        has_float_output = any(self.types.get(output) == TensorProto.FLOAT for output in node.output)
        return (set(), set()) if has_float_output and not slots[1] else (slots[0], slots[1])

    def _unfit_weight(self, node: onnx.NodeProto, inputs: set[int]) -> str | None:
        for index in sorted(inputs):
            if node.input[index] not in self.weights:
                continue
            values = numpy_helper.to_array(self.weights[node.input[index]])
            if bool(np.any(np.isfinite(values) & ~np.isfinite(self._rounded(values)))):
                largest = float(np.abs(values[np.isfinite(values)]).max())
                return f"{node.input[index]} reaches {largest:.3g}, beyond {self.dtype}'s {LARGEST[self.dtype]:.5g}"
            largest = float(np.abs(values).max(initial=0))
            essential = values.size == 1 or (node.op_type in WEIGHTED and index != _BIAS)
            if essential and 0 < largest < SMALLEST_NORMAL[self.dtype]:
                return (
                    f"{node.input[index]} is {largest:.3g} at most, below {self.dtype}'s smallest normal number "
                    f"{SMALLEST_NORMAL[self.dtype]:.3g}"
                )
        return None
