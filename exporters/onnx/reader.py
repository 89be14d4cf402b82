"""Read an ONNX file without the onnx package: what is inside, down to the sha256 of each tensor.

Strict, because the reader guards what ships: a field that ONNX (IR version 14) does not define, a tensor whose bytes do
not fit its shape, or weights kept in another file are errors.
"""

import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from exporters.core.errors import GateError
from exporters.onnx.wire import Allowance, Table, WireError, message, pack_ints

_MODEL: Table = {
    1: ("ir_version", "int"), 2: ("producer_name", "bytes"), 3: ("producer_version", "bytes"), 4: ("domain", "bytes"),
    5: ("model_version", "int"), 6: ("doc_string", "bytes"), 7: ("graph", "bytes"), 8: ("opset_import", "bytes"),
    14: ("metadata_props", "bytes"), 20: ("training_info", "bytes"), 25: ("functions", "bytes"),
    26: ("configuration", "bytes"),
}  # fmt: skip
_GRAPH: Table = {
    1: ("node", "bytes"), 2: ("name", "bytes"), 5: ("initializer", "bytes"), 10: ("doc_string", "bytes"),
    11: ("input", "bytes"), 12: ("output", "bytes"), 13: ("value_info", "bytes"),
    14: ("quantization_annotation", "bytes"), 15: ("sparse_initializer", "bytes"), 16: ("metadata_props", "bytes"),
}  # fmt: skip
_NODE: Table = {
    1: ("input", "bytes"), 2: ("output", "bytes"), 3: ("name", "bytes"), 4: ("op_type", "bytes"),
    5: ("attribute", "bytes"), 6: ("doc_string", "bytes"), 7: ("domain", "bytes"), 8: ("overload", "bytes"),
    9: ("metadata_props", "bytes"), 10: ("device_configurations", "bytes"),
}  # fmt: skip
_ATTRIBUTE: Table = {
    1: ("name", "bytes"), 2: ("f", "float"), 3: ("i", "int"), 4: ("s", "bytes"), 5: ("t", "bytes"), 6: ("g", "bytes"),
    7: ("floats", "float"), 8: ("ints", "int"), 9: ("strings", "bytes"), 10: ("tensors", "bytes"),
    11: ("graphs", "bytes"), 13: ("doc_string", "bytes"), 14: ("tp", "bytes"), 15: ("type_protos", "bytes"),
    20: ("type", "int"), 21: ("ref_attr_name", "bytes"), 22: ("sparse_tensor", "bytes"),
    23: ("sparse_tensors", "bytes"),
}  # fmt: skip
_TENSOR: Table = {
    1: ("dims", "int"), 2: ("data_type", "int"), 3: ("segment", "bytes"), 4: ("float_data", "float"),
    5: ("int32_data", "int"), 6: ("string_data", "bytes"), 7: ("int64_data", "int"), 8: ("name", "bytes"),
    9: ("raw_data", "bytes"), 10: ("double_data", "double"), 11: ("uint64_data", "int"), 12: ("doc_string", "bytes"),
    13: ("external_data", "bytes"), 14: ("data_location", "int"), 16: ("metadata_props", "bytes"),
}  # fmt: skip
_FUNCTION: Table = {
    1: ("name", "bytes"), 4: ("input", "bytes"), 5: ("output", "bytes"), 6: ("attribute", "bytes"),
    7: ("node", "bytes"), 8: ("doc_string", "bytes"), 9: ("opset_import", "bytes"), 10: ("domain", "bytes"),
    11: ("attribute_proto", "bytes"), 12: ("value_info", "bytes"), 13: ("overload", "bytes"),
    14: ("metadata_props", "bytes"),
}  # fmt: skip
_VALUE: Table = {
    1: ("name", "bytes"), 2: ("type", "bytes"), 3: ("doc_string", "bytes"), 4: ("metadata_props", "bytes"),
}  # fmt: skip
_TYPE: Table = {1: ("tensor_type", "bytes"), 6: ("denotation", "bytes")}  # an image classifier has tensors only
_TENSOR_TYPE: Table = {1: ("elem_type", "int"), 2: ("shape", "bytes")}
_SHAPE: Table = {1: ("dim", "bytes")}
_DIMENSION: Table = {1: ("dim_value", "int"), 2: ("dim_param", "bytes"), 3: ("denotation", "bytes")}
_OPSET: Table = {1: ("domain", "bytes"), 2: ("version", "int")}
_ENTRY: Table = {1: ("key", "bytes"), 2: ("value", "bytes")}

# Element type: its name, NumPy's type for the raw bytes, the field that holds it where there is no raw_data.
_TYPES = {
    1: ("float32", "<f4", "float_data"), 2: ("uint8", "u1", "int32_data"), 3: ("int8", "i1", "int32_data"),
    4: ("uint16", "<u2", "int32_data"), 5: ("int16", "<i2", "int32_data"), 6: ("int32", "<i4", "int32_data"),
    7: ("int64", "<i8", "int64_data"), 9: ("bool", "?", "int32_data"), 10: ("float16", "<f2", "int32_data"),
    11: ("float64", "<f8", "double_data"), 12: ("uint32", "<u4", "uint64_data"), 13: ("uint64", "<u8", "uint64_data"),
    16: ("bfloat16", "<u2", "int32_data"),
}  # fmt: skip
_DATA_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
_PACKED_CODES = {"u1": "B", "i1": "B", "?": "B", "<u2": "H", "<i2": "H", "<f2": "H", "<i4": "I", "<u4": "I"}
_MAX_DEPTH = 16
_MAX_DIMS = 16
_LONG_LIST = 16
_LONG_STRING = 256
_LONGEST_NAME = 2**12  # bytes
_LONGEST_METADATA = 2**24

Fields = dict[str, list[int | memoryview]]


class OnnxReadError(GateError):
    """Not an ONNX file of one self-contained model, or a damaged one."""


@dataclass(frozen=True)
class Value:
    """An input or output: its element type and its dimensions, names where they are dynamic."""

    name: str
    dtype: str
    dims: tuple[int | str, ...]


@dataclass(frozen=True)
class Tensor:
    """A constant inside the file: an initializer, or a tensor or long list in a node's attribute."""

    name: str
    dtype: str
    dims: tuple[int, ...]
    data: bytes | memoryview
    storage: str

    @cached_property
    def sha256(self) -> str:
        """Hex SHA-256 of the little-endian bytes, however the file stores them."""
        return hashlib.sha256(self.data).hexdigest()

    def array(self) -> np.ndarray:
        """The values; bfloat16 as its 16 bits."""
        return np.frombuffer(self.data, dtype=_type_called(self.dtype)).reshape(self.dims)


def _type_called(name: str) -> str:
    return next(raw for called, raw, _ in _TYPES.values() if called == name)


@dataclass(frozen=True)
class Node:
    """An operation of the graph, with the names of the values that it takes and gives."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass
class OnnxFile:
    """What is inside an ONNX file.

    `operators` counts nodes by type in the graph, its subgraphs and the functions; `nodes` are those of the graph
    itself. `extras` tells what a shipped student has no use for: documentation, traces, training information, sparse
    tensors. `texts` are all names and strings but the metadata.
    """

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    producer: str = ""
    model_version: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    operators: dict[str, int] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    extras: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    allowance: Allowance = field(default_factory=Allowance, repr=False, compare=False)


def read_onnx(data: bytes) -> OnnxFile:
    """Read a model from the bytes of its file.

    No more memory is used than a small multiple of the file, whatever the file claims.

    Raises:
        OnnxReadError: damaged, not ONNX, weights outside the file, or a type that no student has.
    """
    try:
        return _read_model(memoryview(data))
    except (WireError, UnicodeDecodeError) as error:
        raise OnnxReadError(f"damaged or not an ONNX file: {error}") from error


def _read_model(view: memoryview) -> OnnxFile:
    result = OnnxFile()
    fields = message(view, _MODEL, result.allowance)
    result.ir_version, result.model_version = _number(fields, "ir_version"), _number(fields, "model_version")
    producer = (_text(fields, "producer_name"), _text(fields, "producer_version"))
    result.producer = " ".join(part for part in producer if part)
    for entry in _parts(fields, "opset_import"):
        opset = message(entry, _OPSET, result.allowance)
        result.opsets[_text(opset, "domain")] = _number(opset, "version")
    for entry in _parts(fields, "metadata_props"):
        pair = message(entry, _ENTRY, result.allowance)
        key = _text(pair, "key")
        if key in result.metadata:
            raise WireError(f"metadata {key!r} occurs twice")
        result.metadata[key] = _text(pair, "value", _LONGEST_METADATA)
    _note(fields, result, "the model", ("doc_string", "training_info", "configuration"))
    graphs = _parts(fields, "graph")
    if len(graphs) != 1:
        raise WireError(f"{len(graphs)} graphs")
    graph = _read_graph(graphs[0], result, 0)
    initializers = {tensor.name for tensor in result.tensors if tensor.storage == "initializer"}
    result.inputs = [value for value in graph[0] if value.name not in initializers]
    result.outputs = graph[1]
    for function in _parts(fields, "functions"):
        parsed = message(function, _FUNCTION, result.allowance)
        name = _text(parsed, "name")
        result.functions.append(name)
        _note(parsed, result, f"function {name}", ("doc_string", "metadata_props"))
        for attribute in _parts(parsed, "attribute_proto"):
            _read_attribute(attribute, result, f"function {name}", 1)
        for node in _parts(parsed, "node"):
            _read_node(node, result, 1)
        for value in _parts(parsed, "value_info"):
            _read_value(value, result)
    result.operators = dict(sorted(result.operators.items()))
    return result


def _read_graph(view: memoryview, result: OnnxFile, depth: int) -> tuple[list[Value], list[Value]]:
    if depth > _MAX_DEPTH:
        raise WireError("graphs are nested too deeply")
    fields = message(view, _GRAPH, result.allowance)
    result.texts.append(_text(fields, "name"))
    _note(fields, result, "a graph", ("doc_string", "metadata_props", "sparse_initializer", "quantization_annotation"))
    names = set()
    for entry in _parts(fields, "initializer"):
        tensor = _read_tensor(entry, result, "initializer", "")
        if tensor.name in names:
            raise WireError(f"initializer {tensor.name!r} occurs twice")
        names.add(tensor.name)
        result.tensors.append(tensor)
    for node in _parts(fields, "node"):
        _read_node(node, result, depth)
    for value in _parts(fields, "value_info"):
        _read_value(value, result)
    inputs = [_read_value(value, result) for value in _parts(fields, "input")]
    return inputs, [_read_value(value, result) for value in _parts(fields, "output")]


def _read_node(view: memoryview, result: OnnxFile, depth: int) -> None:
    fields = message(view, _NODE, result.allowance)
    operator, domain = _text(fields, "op_type"), _text(fields, "domain")
    operator = f"{domain}::{operator}" if domain else operator
    result.operators[operator] = result.operators.get(operator, 0) + 1
    name = _text(fields, "name") or operator
    inputs, outputs = (tuple(_decoded(part, key) for part in _parts(fields, key)) for key in ("input", "output"))
    result.texts += [name, operator, *inputs, *outputs]
    if depth == 0:
        result.nodes.append(Node(name, operator, inputs, outputs))
    _note(fields, result, f"node {name}", ("doc_string", "metadata_props", "device_configurations"))
    for attribute in _parts(fields, "attribute"):
        _read_attribute(attribute, result, name, depth)


def _read_attribute(view: memoryview, result: OnnxFile, owner: str, depth: int) -> None:
    fields = message(view, _ATTRIBUTE, result.allowance)
    name = f"{owner}.{_text(fields, 'name')}"
    _note(fields, result, f"attribute {name}", ("doc_string", "sparse_tensor", "sparse_tensors", "tp", "type_protos"))
    for index, tensor in enumerate([*_parts(fields, "t"), *_parts(fields, "tensors")]):
        result.tensors.append(_read_tensor(tensor, result, "attribute", f"{name}[{index}]"))
    for graph in [*_parts(fields, "g"), *_parts(fields, "graphs")]:
        _read_graph(graph, result, depth + 1)
    floats = b"".join(_parts(fields, "floats"))
    if len(floats) > 4 * _LONG_LIST:
        result.tensors.append(Tensor(name, "float32", (len(floats) // 4,), floats, "attribute"))
    ints = [value for value in fields.get("ints", ()) if isinstance(value, int)]
    if len(ints) > _LONG_LIST:
        result.tensors.append(Tensor(name, "int64", (len(ints),), pack_ints(ints, "q"), "attribute"))
    strings = [*_parts(fields, "s"), *_parts(fields, "strings")]
    result.texts += [name, *(str(text, "utf-8", "replace") for text in strings)]
    if sum(len(text) for text in strings) > _LONG_STRING:
        result.extras.append(f"attribute {name} holds a long text")


def _read_tensor(view: memoryview, result: OnnxFile, storage: str, name: str) -> Tensor:
    fields = message(view, _TENSOR, result.allowance)
    name = _text(fields, "name") or name
    result.texts.append(name)
    _note(fields, result, f"tensor {name}", ("doc_string", "metadata_props", "segment"))
    if "external_data" in fields or _number(fields, "data_location"):
        raise WireError(f"tensor {name!r} is kept in another file")
    element = _number(fields, "data_type")
    if element not in _TYPES:
        raise WireError(f"tensor {name!r} has element type {element}")
    called, raw_type, data_field = _TYPES[element]
    dims = tuple(value for value in fields.get("dims", ()) if isinstance(value, int))
    if len(dims) > _MAX_DIMS or any(value < 0 for value in dims):
        raise WireError(f"tensor {name!r} has impossible dimensions")
    given = [key for key in ("raw_data", *_DATA_FIELDS) if key in fields]
    data: bytes | memoryview = b""
    if given == ["raw_data"]:
        data = _parts(fields, "raw_data")[-1]
    elif given == [data_field]:
        data = _typed_data(fields, data_field, raw_type)
    elif given:
        raise WireError(f"tensor {name!r} of {called} keeps its values in {' and '.join(given)}")
    expected = math.prod(dims) * np.dtype(raw_type).itemsize
    if len(data) != expected:
        raise WireError(f"tensor {name!r} has {len(data)} bytes where its shape {list(dims)} needs {expected}")
    return Tensor(name, called, dims, data, storage)


def _typed_data(fields: Fields, data_field: str, raw_type: str) -> bytes:
    if data_field in {"float_data", "double_data"}:
        return b"".join(_parts(fields, data_field))
    numbers = [value for value in fields[data_field] if isinstance(value, int)]
    return pack_ints(numbers, _PACKED_CODES.get(raw_type, "Q"))


def _read_value(view: memoryview, result: OnnxFile) -> Value:
    fields = message(view, _VALUE, result.allowance)
    name = _text(fields, "name")
    result.texts.append(name)
    _note(fields, result, f"value {name}", ("doc_string", "metadata_props"))
    element, dims = 0, []
    for type_view in _parts(fields, "type"):
        for tensor_view in _parts(message(type_view, _TYPE, result.allowance), "tensor_type"):
            tensor = message(tensor_view, _TENSOR_TYPE, result.allowance)
            element = _number(tensor, "elem_type")
            for shape in _parts(tensor, "shape"):
                entries = _parts(message(shape, _SHAPE, result.allowance), "dim")
                dims += [message(entry, _DIMENSION, result.allowance) for entry in entries]
    dtype = _TYPES[element][0] if element in _TYPES else f"type {element}"
    return Value(name, dtype, tuple(_text(dim, "dim_param") or _number(dim, "dim_value") for dim in dims))


def _parts(fields: Fields, name: str) -> list[memoryview]:
    return [value for value in fields.get(name, ()) if isinstance(value, memoryview)]


def _number(fields: Fields, name: str) -> int:
    values = fields.get(name, [0])
    return values[-1] if isinstance(values[-1], int) else 0


def _text(fields: Fields, name: str, most: int = _LONGEST_NAME) -> str:
    parts = _parts(fields, name)
    return _decoded(parts[-1], name, most) if parts else ""


def _decoded(part: memoryview, name: str, most: int = _LONGEST_NAME) -> str:
    if len(part) > most:
        raise WireError(f"{name} has {len(part):,} bytes")
    return str(part, "utf-8")


def _note(fields: Fields, result: OnnxFile, owner: str, names: tuple[str, ...]) -> None:
    result.extras += [f"{owner} has {name}" for name in names if name in fields]
