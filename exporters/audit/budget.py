"""How much a model of a student may hold, by bounds that follow from its graph and from constants, not from a manifest.

Parameters are counted where an image meets them: they are operands of layers whose other operand follows from the
input. What is only folded, reduced or looked at is none, however a manifest counts.
"""

from exporters.audit.integers import STORES, check_indices, check_small_integers
from exporters.core.errors import GateError
from exporters.onnx.reader import Node, OnnxFile, Tensor

MOST_NODES = 20_000

_NODES_PER_TENSOR, _MORE_NODES = 64, 2**8
"""Transformers have the most, some 7; a chain of operators that pass a value on needs no tensors."""

_UNCOUNTED, _MORE_UNCOUNTED = 1.1, 2**14
"""In networks of every family each value is an operand of a layer but for a few constants."""

_VALUES_PER_PARAMETER, _MORE_VALUES = 1.5, 2**16
"""Biases laid out by position and the scales of int8 are more values than a student has parameters, but few."""

_PARAMETERS_PER_VALUE = 8
"""Branches of training are folded into one: MobileOne-S0 has four times the parameters that it ships."""

_OTHERS, _OTHERS_PER_NODE, _OTHERS_PER_VALUE = 2**18, 64, 1 / 8
"""Values of other types, ranges and biases of int8 among them; `exporters.audit.integers` bounds the others."""

_BYTES_PER_NODE, _MORE_BYTES = 2**9, 2**14
_NAMES_PER_PART, _MORE_NAMES, _LONGEST_NAME = 2**8, 2**13, 2**9

_LAYERS = frozenset(
    """
    Add BatchNormalization Concat Conv ConvInteger ConvTranspose Div Einsum Expand Gemm GroupNormalization
    InstanceNormalization LayerNormalization MatMul MatMulInteger Max Min Mul PRelu Pow QLinearConv QLinearMatMul
    RMSNormalization Sub Where
    """.split()  # noqa: SIM905 - a list of quoted words reads worse
)
_KEEPING = frozenset(
    """
    Add BatchNormalization Cast Clip Concat DequantizeLinear Div Exp Expand Flatten Gather GatherND GatherElements
    Identity MatMul Mul Neg Pow QuantizeLinear Reciprocal Relu Reshape Sigmoid Slice Softmax Softplus Sqrt
    Squeeze Sub Tanh Transpose Unsqueeze Where
    """.split()  # noqa: SIM905
)
"""Operators that a network may have between a weight and its layer."""


def check_budget(model: OnnxFile, size: int, name: str, parameters: int) -> None:
    """Refuse, by GateError, a model with more values, nodes, names or bytes than a student of its layers has.

    Args:
        model, size: the file, and its bytes.
        name: of the file, for messages.
        parameters: how many the student has, as the manifest says.
    """
    nodes = sum(model.operators.values())
    if nodes > min(MOST_NODES, _NODES_PER_TENSOR * len(model.tensors) + _MORE_NODES):
        raise GateError(f"{name}: {nodes:,} operators are more than a student has")
    values, others = (sum(_count(tensor) for tensor in part) for part in _by_kind(model))
    computed = count_parameters(model)
    if values > _UNCOUNTED * computed + _MORE_UNCOUNTED:
        raise GateError(f"{name}: {values:,} values are more than a student of {computed:,} parameters in layers has")
    if values > _VALUES_PER_PARAMETER * parameters + _MORE_VALUES:
        raise GateError(f"{name}: {values:,} values are more than a student of {parameters:,} parameters has")
    if parameters > _PARAMETERS_PER_VALUE * computed + _MORE_VALUES:
        raise GateError(f"{name}: its layers have {computed:,} parameters, and the manifest tells of {parameters:,}")
    if others > _OTHERS + _OTHERS_PER_NODE * nodes + _OTHERS_PER_VALUE * values:
        raise GateError(f"{name}: {others:,} values that are no weights are more than a student has")
    try:
        check_small_integers(model)
        check_indices(model)
    except GateError as error:
        raise GateError(f"{name}: {error.message}") from error
    long = next((text for text in model.texts if len(text) > _LONGEST_NAME), None)
    if long is not None:
        raise GateError(f"{name}: has a name of {len(long):,} characters")
    names = sum(len(text.encode("utf-8", "replace")) for text in model.texts)
    if names > _MORE_NAMES + _NAMES_PER_PART * (nodes + len(model.tensors)):
        raise GateError(f"{name}: {names:,} bytes of names are more than {nodes:,} operators need")
    described = sum(len(text.encode()) for text in model.metadata.values())
    rest = size - sum(len(tensor.data) for tensor in model.tensors) - described
    if rest > _MORE_BYTES + _BYTES_PER_NODE * (nodes + len(model.tensors)):
        raise GateError(f"{name}: {rest:,} bytes are neither values nor described by {nodes:,} operators")


def count_parameters(model: OnnxFile) -> int:
    """Values of the tensors that are operands of a layer whose other operand follows from the input."""
    follows = {value.name for value in model.inputs}
    makers: dict[str, Node] = {}
    waiting: list[str] = []
    for node in model.nodes:
        if follows.intersection(node.inputs):
            follows.update(node.outputs)
            if node.operator in _LAYERS:
                waiting += node.inputs
        elif node.operator in _KEEPING:
            makers.update(dict.fromkeys(node.outputs, node))
    counted: set[str] = set()
    while waiting:
        value = waiting.pop()
        if value not in counted and value not in follows:
            counted.add(value)
            waiting += makers[value].inputs if value in makers else ()
    return sum(_count(tensor) for tensor in _by_kind(model)[0] if tensor.name in counted)


def _by_kind(model: OnnxFile) -> tuple[list[Tensor], list[Tensor]]:
    stores = [tensor for tensor in model.tensors if tensor.dtype in STORES]
    return stores, [tensor for tensor in model.tensors if tensor.dtype not in STORES]


def _count(tensor: Tensor) -> int:
    return int(tensor.array().size)
