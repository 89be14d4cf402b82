"""How many integers a network holds beside its weights: shapes, axes and indices, where other numbers could hide.

Biases of int8 count as weights; zeros, as their zero points are, and longer ranges hold no knowledge.
"""

from exporters.audit.entries import TINY_INTEGERS, is_range
from exporters.core.errors import GateError
from exporters.onnx.reader import OnnxFile, Tensor

STORES = ("float16", "bfloat16", "float32", "float64", "int8", "uint8")
"""Types that weights are kept in; in others there are shapes, indices, and the biases of int8."""

_SMALL, _SMALL_PER_NODE = 2**8, 2
"""Values in tensors of at most `TINY_INTEGERS`: networks of every family have fewer than .5 for each operator."""

_INDICES, _INDICES_PER_VALUE = 2**14, 1 / 4
"""Values in larger tensors that are no ranges: timm's test_vit_relpos has the most, one for fifteen weights."""

_MOST_INDEX = 2**16


def check_small_integers(model: OnnxFile) -> None:
    """Refuse, by GateError, more values in tensors of at most `TINY_INTEGERS` integers than the operators need."""
    nodes = sum(model.operators.values())
    values = [tensor.array() for tensor in _integers(model)]
    small = sum(value.size for value in values if value.size <= TINY_INTEGERS and value.any())
    if small > _SMALL + _SMALL_PER_NODE * nodes:
        raise GateError(f"{small:,} integers in small tensors are more than {nodes:,} operators of a student need")


def check_indices(model: OnnxFile) -> None:
    """Refuse, by GateError, larger tensors of integers that are no ranges, where they could not be indices.

    Too many values for the weights beside them, or one that is negative or 2^16 and more.
    """
    values = sum(tensor.array().size for tensor in model.tensors if tensor.dtype in STORES)
    indices = [each for each in _integers(model) if each.array().size > TINY_INTEGERS and not is_range(each.array())]
    for tensor in indices:
        if tensor.array().min() < 0 or tensor.array().max() >= _MOST_INDEX:
            raise GateError(f"{tensor.name}: not all of its {tensor.array().size:,} integers are indices")
    count = sum(tensor.array().size for tensor in indices)
    if count > _INDICES + _INDICES_PER_VALUE * values:
        raise GateError(f"{count:,} integers that are no ranges are more than a student of {values:,} values needs")


def _integers(model: OnnxFile) -> list[Tensor]:
    biases = {node.inputs[0] for node in model.nodes if node.operator == "DequantizeLinear" and node.inputs}
    return [tensor for tensor in model.tensors if tensor.dtype not in STORES and tensor.name not in biases]
