"""Proof that OpenVINO IR is the proved ONNX file: the same weights, or these rounded to fp16, and nothing besides.

Needs no OpenVINO. Holds for any pair of files, whatever a manifest says: each constant is looked up in the ONNX file
beside it, whose own numbers were traced back to the student.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from exporters.audit.entries import TINY, TINY_INTEGERS, is_range, transposed
from exporters.audit.texts import check_paths
from exporters.core.errors import GateError
from exporters.core.files import sha256_bytes
from exporters.core.wording import first_of
from exporters.fp16.rounding import round_to_fp16
from exporters.onnx.reader import OnnxFile, Tensor, Value
from exporters.openvino.network import Constant, Network, layer_sizes, numbered, read_network

_LAYERS_PER_PART, _MORE_LAYERS = 12, 2**8
"""Layers for each node and tensor of the ONNX file: 5 at most in networks of every family, for each bias a shape."""

_BYTES_PER_LAYER, _BYTES_PER_PORT, _MORE_BYTES = 2**9, 2**8, 2**12
_LETTERS_PER_LAYER, _MORE_LETTERS = 2**6, 2**10
"""Letters of all attributes, those of constants left out, which follow from their place: some 15 a layer."""

_VALUES_PER_PART, _MORE_VALUES = 4, 2**8
"""Values of all constants that are no tensor of the ONNX file and no range: fewer than one for each of its parts."""

_PRECISIONS = {"uint8": "U8", "float32": "FP32"}
_DTYPES = {
    "float32": "f32", "float16": "f16", "float64": "f64", "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8",
    "uint8": "u8", "bool": "boolean",
}  # fmt: skip


def audit_openvino(xml: bytes, weights: bytes, base: OnnxFile, name: str, precision: str) -> Network:
    """Check both files against the ONNX file that they were made from.

    Each constant of more than `TINY` numbers (`TINY_INTEGERS` integers) is, bit for bit, a tensor of `base`, its axes
    in any order, or for fp16 such a tensor rounded to nearest, ties to even; and each tensor of `base` of more than one
    number that is no integer is among the constants, the normalisation too. Inputs and outputs are those of `base`.
    What is smaller is bounded in sum, and so are the attributes of layers: by some four times what networks need.

    Args:
        xml, weights: the files.
        base: the proved fp32 file.
        name: of the XML, for messages.
        precision: `fp32` or `fp16`.

    Raises:
        GateError: anything else.
    """
    try:
        network = read_network(xml, weights)
        _check_size(network, len(xml), base)
        _check_names(network, base)
        _check_ends(network, base)
        _check_constants(network, base, precision)
    except GateError as error:
        raise GateError(f"{name}: {error.message}", remedy=error.remedy) from error
    return network


def names_of(base: OnnxFile) -> tuple[set[str], set[str]]:
    """The names of the nodes and values of an ONNX file, and those of its inputs and outputs."""
    ends = {value.name for value in (*base.inputs, *base.outputs)}
    values = {name for node in base.nodes for name in (node.name, *node.outputs)}
    return {tensor.name for tensor in base.tensors} | values | ends, ends


def _check_size(network: Network, size: int, base: OnnxFile) -> None:
    layers, parts = len(network.document.layers), len(base.nodes) + len(base.tensors)
    if layers > _LAYERS_PER_PART * parts + _MORE_LAYERS:
        raise GateError(f"{layers:,} layers are more than {parts:,} nodes and tensors of the ONNX file become")
    most = _MORE_BYTES + _BYTES_PER_LAYER * layers + _BYTES_PER_PORT * sum(layer_sizes(network.document))
    if size > most:
        raise GateError(f"{size:,} bytes are more than {layers:,} layers need")
    others = [layer for layer in network.document.layers if layer.kind != "Const"]
    attributes = [pair for layer in others for pair in (*layer.data.items(), *layer.hints)]
    letters = sum(len(key) + len(value) for key, value in attributes)
    if letters > _LETTERS_PER_LAYER * layers + _MORE_LETTERS:
        raise GateError(f"{letters:,} letters of attributes are more than {layers:,} layers need")


def _check_names(network: Network, base: OnnxFile) -> None:
    known, ends = names_of(base)
    seen: set[str] = set()
    for layer in network.document.layers:
        if layer.name in seen or (layer.name not in known and layer.name != numbered(layer)):
            raise GateError(f"a layer called {layer.name[:60]!r}, as the ONNX file has none")
        seen.add(layer.name)
    for layer in network.document.layers:
        check_paths("the network", (layer.name, *layer.data.values(), *(value for _, value in layer.hints)))
    foreign = {port.names for layer in network.document.layers for port in layer.outputs if port.names} - ends
    if foreign:
        raise GateError(f"a value called {min(foreign)[:60]!r}, which the ONNX file does not give")


def _check_ends(network: Network, base: OnnxFile) -> None:
    for what, found, expected in (("inputs", network.inputs, base.inputs), ("outputs", network.outputs, base.outputs)):
        wanted = {value.name: (_PRECISIONS.get(value.dtype, ""), _dims(value)) for value in expected}
        if found != wanted:
            raise GateError(f"its {what} are {dict(found)}, not {wanted}"[:400])


def _dims(value: Value) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else -1 for dim in value.dims)


def _check_constants(network: Network, base: OnnxFile, precision: str) -> None:
    sources = _Sources(base, precision)
    # Constants may share their bytes: what was found for these holds for each, whatever its shape.
    found: dict[tuple[int, int, str], Tensor | bool] = {}
    held: set[tuple[str, str]] = set()
    foreign = []
    own = 0
    for constant in network.constants:
        place = constant.offset, len(constant.data), constant.dtype
        if place not in found:
            found[place] = sources.of(constant) or _is_constant(constant)
        origin = found[place]
        if isinstance(origin, Tensor):
            held.add((origin.dtype, origin.sha256))
        elif not origin:
            foreign.append(f"{constant.name} {constant.dtype} {list(constant.dims)}")
        elif not is_range(constant.array()):
            own += math.prod(constant.dims)
    if foreign:
        raise GateError(f"holds what the ONNX file does not: {first_of(foreign, 5)}")
    if own > _VALUES_PER_PART * (len(base.nodes) + len(base.tensors)) + _MORE_VALUES:
        raise GateError(f"{own:,} values of constants are more than the ONNX file's {len(base.nodes):,} nodes need")
    floats = [tensor for tensor in sources.tensors if math.prod(tensor.dims) > 1 and tensor.dtype.startswith("float")]
    lost = [tensor.name for tensor in floats if (tensor.dtype, tensor.sha256) not in held]
    if lost:
        raise GateError(f"without {', '.join(lost[:5])} of the ONNX file: not the whole student")


def _is_constant(constant: Constant) -> bool:
    value = constant.array()
    if constant.dtype.startswith("f"):
        return value.size <= TINY
    return value.size <= TINY_INTEGERS or is_range(value)


class _Sources:
    """The tensors of the ONNX file, found by the bytes that they may have in an IR.

    Each tensor is hashed once in each order of its axes, however many constants a forged file has.

    Args:
        base: the ONNX file.
        precision: `fp32` or `fp16`.
    """

    def __init__(self, base: OnnxFile, precision: str) -> None:
        self.tensors = [tensor for tensor in base.tensors if tensor.dtype in _DTYPES]
        self._precision = precision
        self._by_size: dict[int, list[Tensor]] = {}
        for tensor in self.tensors:
            self._by_size.setdefault(math.prod(tensor.dims), []).append(tensor)
        self._indexes: dict[tuple[int, bool], dict[tuple[str, str], Tensor]] = {}

    def of(self, constant: Constant) -> Tensor | None:
        """The tensor that a constant holds; of several with the same values the one in the same order counts."""
        size, key = math.prod(constant.dims), (constant.dtype, sha256_bytes(constant.data))
        return self._index(size, permuted=False).get(key) or self._index(size, permuted=True).get(key)

    def _index(self, size: int, *, permuted: bool) -> Mapping[tuple[str, str], Tensor]:
        """Type and sha256 of the bytes → tensor, of all tensors of so many values."""
        if (size, permuted) not in self._indexes:
            index: dict[tuple[str, str], Tensor] = {}
            for tensor in self._by_size.get(size, ()):
                for value in transposed(tensor.array()) if permuted else [tensor.array()]:
                    for dtype, data in self._forms(tensor, value):
                        index.setdefault((dtype, sha256_bytes(data)), tensor)
            self._indexes[size, permuted] = index
        return self._indexes[size, permuted]

    def _forms(self, tensor: Tensor, value: np.ndarray) -> Iterator[tuple[str, bytes]]:
        yield _DTYPES[tensor.dtype], value.tobytes()
        if self._precision == "fp16" and tensor.dtype == "float32":
            yield "f16", round_to_fp16(value).astype("<f2").tobytes()
