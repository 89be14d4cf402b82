"""OpenVINO IR as a bundle has it: one form, known operators, and constants that fill the weights file exactly."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from exporters.core.errors import GateError
from exporters.openvino.document import Document, Layer, Port, read_document, write_document

OPERATORS = frozenset(
    """
    Abs AdaptiveAvgPool Add AvgPool BatchNormInference Broadcast Ceiling Clamp Concat Const Convert Convolution
    ConvolutionBackpropData Cos CumSum DepthToSpace Divide Einsum Elu Equal Erf Exp Floor FloorMod Gather
    GatherElements GatherND Gelu Greater GreaterEqual GroupConvolution GroupConvolutionBackpropData
    GroupNormalization HSigmoid HSwish HardSigmoid Identity Interpolate LRN Less LessEqual Log LogSoftmax LogicalAnd
    LogicalNot LogicalOr LogicalXor MVN MatMul MaxPool Maximum Minimum Mish Mod Multiply Negative NormalizeL2
    NotEqual PReLU Pad Parameter Power Range ReLU ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum Reshape Result Round ScaledDotProductAttention ScatterElementsUpdate ScatterNDUpdate ScatterUpdate
    Select Selu ShapeOf ShuffleChannels Sigmoid Sign Sin Slice SoftMax SoftPlus SoftSign SpaceToDepth Split Sqrt
    SquaredDifference Squeeze StridedSlice Subtract Swish Tanh Tile TopK Transpose Unsqueeze VariadicSplit
    """.split()  # noqa: SIM905 - a list of quoted words reads worse
)
"""What an image classifier consists of. No loops and branches, no state, no extensions, nothing that reads a file."""

DTYPES = {
    "boolean": "?", "f16": "<f2", "f32": "<f4", "f64": "<f8", "i8": "i1", "i16": "<i2", "i32": "<i4", "i64": "<i8",
    "u8": "u1",
}  # fmt: skip
"""Element types of constants, and NumPy's types for their bytes."""

_OPSET = re.compile(r"opset[1-9][0-9]?")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_PRECISION = re.compile(r"[A-Z][A-Z0-9]{1,15}")
_LONGEST = 256
_LONGEST_NAME = 512
_MOST_DIMS = 16
_MOST_VALUES = 2**32
"""Of a port, with a dynamic dimension as one: what a runtime multiplies to reserve memory stays far from overflow."""


@dataclass(frozen=True)
class Constant:
    """A constant: a view of the weights file.

    Args:
        name: of its layer.
        dtype: a key of `DTYPES`.
        dims: its shape.
        offset: where its bytes begin.
        data: its bytes, little-endian.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    offset: int
    data: memoryview

    def array(self) -> np.ndarray:
        """The values."""
        return np.frombuffer(self.data, DTYPES[self.dtype]).reshape(self.dims)


@dataclass(frozen=True)
class Network:
    """A file that was checked.

    Args:
        document: what the XML says.
        constants: in its order.
        inputs, outputs: by name, the element type and the shape; -1 where it is dynamic.
    """

    document: Document
    constants: tuple[Constant, ...]
    inputs: Mapping[str, tuple[str, tuple[int, ...]]]
    outputs: Mapping[str, tuple[str, tuple[int, ...]]]

    @property
    def operators(self) -> dict[str, int]:
        """How many layers of each type there are, by name."""
        return dict(sorted(Counter(layer.kind for layer in self.document.layers).items()))


def read_network(xml: bytes, weights: bytes) -> Network:
    """Check both files of a network; nothing of them is run.

    Raises:
        GateError: XML of another form than `write_document` gives, a layer or attribute that no classifier has, layers
            that nothing follows from, or constants that do not fill the weights file exactly.
    """
    document = read_document(xml)
    if write_document(document) != xml:
        raise GateError("not XML as a bundle has it: something besides layers and edges, or in another form")
    for layer in document.layers:
        _check_layer(layer)
    _check_edges(document)
    constants = tuple(_constant(layer, weights) for layer in document.layers if layer.kind == "Const")
    _check_filled(document, len(weights))
    inputs = dict(_named(layer.outputs[0]) for layer in document.layers if layer.kind == "Parameter")
    ports = {(layer.id, port.id): port for layer in document.layers for port in layer.outputs}
    results = {layer.id for layer in document.layers if layer.kind == "Result"}
    outputs = dict(_named(ports[edge[:2]]) for edge in document.edges if edge[2] in results)
    named = sum(bool(port.names) for port in ports.values())
    if "" in inputs or "" in outputs or named != len(inputs) + len(outputs) or len(outputs) != len(results):
        raise GateError("names of values that are neither its inputs nor its outputs, or an output without one")
    return Network(document, constants, inputs, outputs)


def tidied(document: Document, names: Collection[str], ends: Collection[str]) -> Document:
    """A document without what depends on the process or machine that wrote it.

    OpenVINO counts the layers that it adds over all that a process does. A layer keeps the name that it has in the
    ONNX file; others are called by type and number.

    Args:
        names: of the nodes and values of the ONNX file.
        ends: names of its inputs and outputs, which values keep; others lose theirs.
    """
    used: set[str] = set()
    layers = []
    for layer in document.layers:
        name = layer.name if layer.name in names and layer.name not in used else numbered(layer)
        used.add(name)
        outputs = tuple(replace(port, names=_end(port.names, ends)) for port in layer.outputs)
        inputs = tuple(replace(port, names="") for port in layer.inputs)
        layers.append(replace(layer, name=name, inputs=inputs, outputs=outputs))
    return Document(tuple(layers), document.edges)


def numbered(layer: Layer) -> str:
    """What a layer is called that has no name in the ONNX file."""
    return f"{layer.kind}_{layer.id}"


def _end(names: str, ends: Collection[str]) -> str:
    return next((name for name in names.split(",") if name in ends), "")


def _named(port: Port) -> tuple[str, tuple[str, tuple[int, ...]]]:
    return port.names, (port.precision, port.dims)


def _check_layer(layer: Layer) -> None:
    what = f"layer {layer.name[:60]!r}"
    if layer.kind not in OPERATORS or not _OPSET.fullmatch(layer.opset):
        raise GateError(f"{what} is of {layer.opset[:40]}:{layer.kind[:40]}, which no image classifier needs")
    texts = [*layer.data.values(), *(value for _, value in layer.hints), *(port.names for port in layer.outputs)]
    if len(layer.name) > _LONGEST_NAME or any(len(text) > _LONGEST for text in texts):
        raise GateError(f"{what}: a name or attribute is longer than a layer needs")
    if not all(text.isprintable() for text in (layer.name, *texts)) or not all(map(_KEY.fullmatch, layer.data)):
        raise GateError(f"{what}: a name or attribute that no layer has")
    for port in (*layer.inputs, *layer.outputs):
        too_large = len(port.dims) > _MOST_DIMS or math.prod(max(dim, 1) for dim in port.dims) > _MOST_VALUES
        if too_large or not _PRECISION.fullmatch(port.precision):
            raise GateError(f"{what}: a port of {port.precision[:40]} {list(port.dims)[:20]}")
    is_end = layer.kind in ("Const", "Parameter")
    if is_end and (layer.inputs or len(layer.outputs) != 1):
        raise GateError(f"{what}: a {layer.kind} has one output and no input")
    if layer.kind == "Result" and len(layer.inputs) != 1:
        raise GateError(f"{what}: a Result has one input")


def _check_edges(document: Document) -> None:
    """Layers are numbered in order, each input has one edge from an earlier layer, and a Result follows from each."""
    if [layer.id for layer in document.layers] != list(range(len(document.layers))):
        raise GateError("its layers are not numbered in order")
    gives = {(layer.id, port.id) for layer in document.layers for port in layer.outputs}
    takes = [(layer.id, port.id) for layer in document.layers for port in layer.inputs]
    targets = [(to, port) for _, _, to, port in document.edges]
    if sorted(takes) != sorted(targets) or len(set(targets)) != len(targets):
        raise GateError("its edges do not lead to each input once")
    if any((source, port) not in gives or source >= to for source, port, to, _ in document.edges):
        raise GateError("an edge begins at no output of an earlier layer")
    sources: dict[int, list[int]] = {}
    for source, _, to, _ in document.edges:
        sources.setdefault(to, []).append(source)
    waiting = [layer.id for layer in document.layers if layer.kind == "Result"]
    needed: set[int] = set()
    while waiting:
        if (layer_id := waiting.pop()) not in needed:
            needed.add(layer_id)
            waiting += sources.get(layer_id, ())
    if dead := [layer.name for layer in document.layers if layer.id not in needed]:
        raise GateError(f"no output follows from {', '.join(dead[:5])}: not a part of the student")


def _place(layer: Layer) -> tuple[int, int]:
    offset, size = (layer.data.get(key, "") for key in ("offset", "size"))
    if not all(re.fullmatch(r"[0-9]{1,12}", text) for text in (offset, size)):
        raise GateError(f"constant {layer.name[:60]!r}: no offset and size")
    return int(offset), int(size)


def _constant(layer: Layer, weights: bytes) -> Constant:
    what = f"constant {layer.name[:60]!r}"
    if set(layer.data) != {"element_type", "shape", "offset", "size"}:
        raise GateError(f"{what}: attributes {', '.join(layer.data)[:100]}")
    dtype = layer.data["element_type"]
    if dtype not in DTYPES:
        raise GateError(f"{what}: of type {dtype[:40]}, which no student has")
    dims = layer.outputs[0].dims
    if layer.data["shape"] != ", ".join(map(str, dims)) or any(dim < 0 for dim in dims):
        raise GateError(f"{what}: two shapes, {layer.data['shape'][:60]} and {list(dims)}")
    offset, size = _place(layer)
    if size != math.prod(dims) * np.dtype(DTYPES[dtype]).itemsize:
        raise GateError(f"{what}: {size:,} bytes for {list(dims)} of {dtype}")
    if offset + size > len(weights):
        raise GateError(f"{what}: ends at byte {offset + size:,} of {len(weights):,}")
    return Constant(layer.name, dtype, dims, offset, memoryview(weights)[offset : offset + size])


def _check_filled(document: Document, size: int) -> None:
    """Constants share bytes wholly or not at all, and nothing is between or after them."""
    places = sorted({_place(layer) for layer in document.layers if layer.kind == "Const"})
    ends = itertools.chain([0], (offset + length for offset, length in places))
    begins = itertools.chain((offset for offset, _ in places), [size])
    if any(begin != end for begin, end in zip(begins, ends, strict=True)):
        raise GateError("the weights file holds bytes that no constant is made of, or constants that overlap")


def layer_sizes(document: Document) -> Iterator[int]:
    """Of each layer, how many ports it has."""
    return (len(layer.inputs) + len(layer.outputs) for layer in document.layers)
