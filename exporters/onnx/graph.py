"""Reading, walking and editing ONNX graphs: what the conversions, the calibration and the comparison share."""

from collections.abc import Iterable, Sequence
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from exporters.core.errors import GateError, UnavailableError
from exporters.core.interrupts import interrupts_kept


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


def checked(model: onnx.ModelProto, called: str = "the model") -> onnx.ModelProto:
    """A copy of the model with the shape of every value inferred.

    Args:
        called: the model, in the error message.

    Raises:
        GateError: not valid ONNX.
    """
    try:
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateError(f"{called} is not valid ONNX: {str(error).splitlines()[0]}") from error
    return model


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """A deep copy."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    return result


def node_name(node: onnx.NodeProto) -> str:
    """The node's name, or that of its first output."""
    return node.name or node.output[0]


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of an attribute, or the default where the node does not have it."""
    return next((onnx.helper.get_attribute_value(entry) for entry in node.attribute if entry.name == name), default)


def opsets(model: onnx.ModelProto) -> dict[str, int]:
    """The version of each operator set by domain."""
    return {entry.domain: entry.version for entry in model.opset_import}


def initializers(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Initializers by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """The node that computes each value, in the order of the file."""
    return {value: node for node in graph.node for value in node.output if value}


def consumers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that read each value, one entry for each input that it is given to."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for value in node.input:
            found.setdefault(value, []).append(node)
    return found


def rename_uses(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Let every node that reads the value `old` read `new`, in place."""
    for node in graph.node:
        for index, value in enumerate(node.input):
            if value == old:
                node.input[index] = new


def replace_all(graph: onnx.GraphProto, field: str, values: Iterable[Any]) -> None:
    """Set a repeated field such as `node` or `initializer`, in place; entries of the graph itself may be among them."""
    kept = []
    for value in values:
        copy = type(value)()
        copy.CopyFrom(value)
        kept.append(copy)
    graph.ClearField(field)  # type: ignore[arg-type]
    getattr(graph, field).extend(kept)


def unoptimized_session(model: onnx.ModelProto, values: Sequence[str]) -> Any:
    """A session of ONNX Runtime on the CPU that returns the named values, each node computed as it is written.

    Raises:
        UnavailableError: onnxruntime is not installed, or has no kernel for one of the nodes.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError("onnxruntime is not installed", remedy="pip install onnxruntime") from error
    model = copy_of(model)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=value) for value in values)
    options = onnxruntime.SessionOptions()
    # Optimization would fuse operators, and the values between them would be gone.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        with interrupts_kept():
            return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = str(error).split("\n")[0][:300]
        raise UnavailableError(f"ONNX Runtime cannot run the model node by node: {reason}") from error
