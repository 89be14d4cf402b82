"""The XML of OpenVINO IR, read within bounds and written in one form.

Written bytes follow from the network alone. What a network of this form has no place for (comments, entities, further
attributes, paths of other files) is lost in reading, so that a file which is not what `write_document` makes of it
again holds something else and is refused by `exporters.openvino.network`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from exporters.core.errors import GateError

MOST_BYTES = 2**24
"""Of the XML: 4,000 layers, those of DenseNet-201, take 2 MB."""

VERSION = "11"
"""Of the format; OpenVINO has written this one since 2022."""

HINTS = ("decompression", "DisablePrecisionConversion")
"""Marks of a layer that change what it computes or takes: weights that stay compressed, and shapes that keep fp32."""

_NAME = "student"
_SIZE = "dim"
_DEEPEST = 8
_MOST_ELEMENTS = 2**20
_LONGEST_NUMBER = 20
_INTEGER = re.compile(r"-1|[0-9]{1,18}")
_OPEN = '<?xml version="1.0"?>\n'


@dataclass(frozen=True)
class Port:
    """An input or output of a layer.

    Args:
        id: its number in the layer.
        precision: its element type, such as `FP32`.
        dims: its shape; -1 where it is dynamic.
        names: what it is called outside, for the inputs and outputs of the network; else "".
    """

    id: int
    precision: str
    dims: tuple[int, ...]
    names: str = ""


@dataclass(frozen=True)
class Layer:
    """An operation.

    Args:
        id: its number in the file.
        name, kind, opset: such as `conv1`, `Convolution`, `opset1`.
        data: its attributes, as text.
        hints: of `HINTS`, name and value; a value may be "".
        inputs, outputs: its ports.
    """

    id: int
    name: str
    kind: str
    opset: str
    data: Mapping[str, str] = field(default_factory=dict)
    hints: tuple[tuple[str, str], ...] = ()
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()


Edge = tuple[int, int, int, int]
"""From layer, from port, to layer, to port."""


@dataclass(frozen=True)
class Document:
    """The layers and edges of a file, in its order."""

    layers: tuple[Layer, ...]
    edges: tuple[Edge, ...]


def read_document(data: bytes) -> Document:
    """Read the XML, as OpenVINO or `write_document` wrote it.

    No entity is expanded, no other file is opened, and memory stays a small multiple of the file.

    Raises:
        GateError: too large, too deep, not XML, a document type, or no network.
    """
    if len(data) > MOST_BYTES:
        raise GateError(f"{len(data):,} bytes of XML are more than a network has; {MOST_BYTES:,} are the most")
    root = _parse(data)
    if root.tag != "net":
        raise GateError(f"a document of <{root.tag[:40]}>, not a network of OpenVINO")
    if root.attributes.get("version") != VERSION:
        raise GateError(f"IR of version {root.attributes.get('version', 'unknown')[:20]}; {VERSION} is known")
    layers = tuple(_layer(each) for each in root.below("layers", "layer"))
    ends = ("from-layer", "from-port", "to-layer", "to-port")
    edges = [tuple(_integer(each.get(end)) for end in ends) for each in root.below("edges", "edge")]
    return Document(layers, tuple((a, b, c, d) for a, b, c, d in edges))


def write_document(document: Document) -> bytes:
    """The XML of a network: the same network gives the same bytes, on every machine."""
    lines = [f'<net name="{_NAME}" version="{VERSION}">', "\t<layers>"]
    for layer in document.layers:
        lines += _layer_lines(layer)
    lines += ["\t</layers>", "\t<edges>"]
    lines += [
        f'\t\t<edge from-layer="{a}" from-port="{b}" to-layer="{c}" to-port="{d}" />' for a, b, c, d in document.edges
    ]
    return (_OPEN + "\n".join([*lines, "\t</edges>", "</net>"]) + "\n").encode()


def _layer_lines(layer: Layer) -> Iterator[str]:
    names = (("name", layer.name), ("type", layer.kind), ("version", layer.opset))
    yield f'\t\t<layer id="{layer.id}"{_attributes(names)}>'
    if layer.data:
        yield f"\t\t\t<data{_attributes(layer.data.items())} />"
    if layer.hints:
        yield "\t\t\t<rt_info>"
        for name, value in layer.hints:
            given = [("value", value)] if value else []
            yield f"\t\t\t\t<attribute{_attributes([('name', name), ('version', '0'), *given])} />"
        yield "\t\t\t</rt_info>"
    for tag, ports in (("input", layer.inputs), ("output", layer.outputs)):
        if ports:
            yield f"\t\t\t<{tag}>"
            for port in ports:
                names = (("precision", port.precision), *((("names", port.names),) if port.names else ()))
                yield f'\t\t\t\t<port id="{port.id}"{_attributes(names)}>'
                yield from (f"\t\t\t\t\t<dim>{dim}</dim>" for dim in port.dims)
                yield "\t\t\t\t</port>"
            yield f"\t\t\t</{tag}>"
    yield "\t\t</layer>"


def _attributes(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f" {key}={quoteattr(value)}" for key, value in pairs)


@dataclass(slots=True)
class _Element:
    tag: str
    attributes: dict[str, str]
    children: "list[_Element]" = field(default_factory=list)
    text: str = ""

    def get(self, key: str) -> str:
        value = self.attributes.get(key)
        if value is None:
            raise GateError(f"<{self.tag[:40]}> without {key}")
        return value

    def below(self, *tags: str) -> "list[_Element]":
        """All elements that are reached by these tags."""
        found = [self]
        for tag in tags:
            found = [child for parent in found for child in parent.children if child.tag == tag]
        return found


def _layer(element: _Element) -> Layer:
    data = {key: value for each in element.below("data") for key, value in each.attributes.items()}
    hints = [
        (each.get("name"), each.attributes.get("value", ""))
        for each in element.below("rt_info", "attribute")
        if each.attributes.get("name") in HINTS
    ]
    inputs, outputs = ([_port(each) for each in element.below(tag, "port")] for tag in ("input", "output"))
    kind, opset = element.get("type"), element.get("version")
    return Layer(
        _integer(element.get("id")), element.get("name"), kind, opset, data, tuple(hints), tuple(inputs), tuple(outputs)
    )


def _port(element: _Element) -> Port:
    dims = tuple(_integer(each.text) for each in element.below(_SIZE))
    return Port(_integer(element.get("id")), element.get("precision"), dims, element.attributes.get("names", ""))


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise GateError(f"{text[:40]!r} in place of a number")
    return int(text)


def _parse(data: bytes) -> _Element:
    parser = expat.ParserCreate("utf-8")
    top = _Element("", {})
    opened = [top]
    count = 0

    def begin(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(opened) > _DEEPEST or count > _MOST_ELEMENTS:
            raise GateError("the XML is deeper or has more elements than a network")
        element = _Element(tag, attributes)
        opened[-1].children.append(element)
        opened.append(element)

    def end(_tag: str) -> None:
        opened.pop()

    def text(found: str) -> None:
        # Only sizes stand between tags; text elsewhere, piece by piece, would take the square of its length.
        element = opened[-1]
        if element.tag == _SIZE and len(element.text) <= _LONGEST_NUMBER:
            element.text += found[: _LONGEST_NUMBER + 1]

    def refuse(*_: object) -> None:
        raise GateError("the XML has a document type, which could define entities or name other files")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, text
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise GateError(f"damaged or not XML: {error}") from error
    return top.children[0]
