"""What a network of a bundle may consist of."""

from dataclasses import replace

import numpy as np
import pytest

from exporters.core.errors import GateError
from exporters.openvino.document import Document, Port, write_document
from exporters.openvino.network import layer_sizes, numbered, read_network, tidied
from tests.exporters.openvino.small import WEIGHT, changed, document, files, with_data

XML, WEIGHTS = files()


def test_a_network_tells_its_constants_and_ends() -> None:
    network = read_network(XML, WEIGHTS)
    (constant,) = network.constants
    np.testing.assert_array_equal(constant.array(), WEIGHT)
    assert (constant.name, constant.dtype, constant.dims) == ("weight", "f32", (2, 2, 3))
    assert network.inputs == {"image": ("U8", (-1, 2, 2, 3))}
    assert network.outputs == {"logits": ("FP32", (-1, 2, 2, 3))}
    assert network.operators == {"Const": 1, "Convert": 1, "Multiply": 1, "Parameter": 1, "Result": 1}
    assert sum(layer_sizes(network.document)) == 8


@pytest.mark.parametrize(
    "xml",
    [
        XML.replace(b"</net>", b'<rt_info><info name="user" value="me" /></rt_info></net>'),
        XML.replace(b"\t<edges>", b"\t<!-- hidden -->\n\t<edges>"),
        XML.replace(b'type="Const" ', b'type="Const" bin="/etc/passwd" '),
        XML.replace(b"<layers>", b"<layers> "),
        XML.replace(b'<?xml version="1.0"?>', b'<?xml version="1.0"?><?run it?>'),
        XML + b"\n",
        XML.decode().replace("?>", ' encoding="utf-16"?>', 1).encode("utf-16"),
        XML.replace(b'name="weight"', b"name='weight'"),
    ],
)
def test_anything_besides_layers_and_edges_is_refused(xml: bytes) -> None:
    assert xml != XML
    with pytest.raises(GateError, match="in another form"):
        read_network(xml, WEIGHTS)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (changed(3, lambda each: replace(each, kind="ReadValue")), "opset1:ReadValue, which no image classifier"),
        (changed(3, lambda each: replace(each, kind="Loop")), "opset1:Loop"),
        (changed(3, lambda each: replace(each, kind="If", opset="opset8")), "opset8:If"),
        (changed(3, lambda each: replace(each, opset="extension")), "extension:Multiply"),
        (changed(3, lambda each: replace(each, opset="custom_opset")), "custom_opset:Multiply"),
        (changed(3, lambda each: replace(each, name="a\u202eb")), "a name or attribute that no layer has"),
        (changed(3, lambda each: replace(each, name="n" * 600)), "longer than a layer needs"),
        (with_data(3, note="x" * 300), "longer than a layer needs"),
        (changed(1, lambda each: replace(each, inputs=(Port(0, "u8; rm", (-1,)),))), "a port of u8; rm"),
        (changed(1, lambda each: replace(each, inputs=(Port(0, "F32", (-1, 2**16, 2**17)),))), "a port of F32"),
        (changed(1, lambda each: replace(each, inputs=(Port(0, "F32", (0, 2**16, 2**17)),))), "a port of F32"),
        (
            changed(2, lambda each: replace(each, inputs=(Port(7, "FP32", (1,)),))),
            "a Const has one output and no input",
        ),
        (changed(4, lambda each: replace(each, inputs=())), "a Result has one input"),
        (with_data(2, offset="999999999999"), "ends at byte"),
        (with_data(2, offset="4"), "ends at byte 52 of 48"),
        (with_data(2, offset="-4"), "no offset and size"),
        (with_data(2, offset="0x10"), "no offset and size"),
        (with_data(2, size="44"), "44 bytes for"),
        (with_data(2, shape="12"), "two shapes"),
        (with_data(2, element_type="string"), "of type string"),
        (with_data(2, location="/etc/passwd"), "attributes"),
        (changed(1, lambda each: replace(each, id=7)), "not numbered in order"),
        (changed(3, lambda each: replace(each, outputs=(replace(each.outputs[0], names=""),))), "without one"),
        (changed(1, lambda each: replace(each, outputs=(replace(each.outputs[0], names="b"),))), "names of values"),
    ],
)
def test_a_layer_that_no_classifier_has_is_refused(xml: bytes, message: str) -> None:
    with pytest.raises(GateError, match=message):
        read_network(xml, WEIGHTS)


def edges(*changed_edges: tuple[int, int, int, int]) -> bytes:
    whole = document()
    return write_document(Document(whole.layers, changed_edges))


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (edges((0, 0, 1, 0), (1, 1, 3, 0), (3, 2, 4, 0)), "to each input once"),
        (edges((0, 0, 1, 0), (1, 1, 3, 0), (2, 0, 3, 1), (3, 2, 4, 0), (3, 2, 4, 0)), "to each input once"),
        (edges((0, 0, 1, 0), (1, 1, 3, 0), (3, 2, 3, 1), (3, 2, 4, 0)), "no output of an earlier layer"),
        (edges((0, 0, 1, 0), (1, 9, 3, 0), (2, 0, 3, 1), (3, 2, 4, 0)), "no output of an earlier layer"),
        (edges((0, 0, 1, 0), (1, 1, 3, 0), (1, 1, 3, 1), (3, 2, 4, 0)), "no output follows from weight"),
    ],
)
def test_edges_lead_forward_to_each_input_and_from_each_layer(xml: bytes, message: str) -> None:
    with pytest.raises(GateError, match=message):
        read_network(xml, WEIGHTS)


def test_the_weights_file_holds_the_constants_and_nothing_else() -> None:
    for weights in (WEIGHTS + b"\0", WEIGHTS + b"hidden", WEIGHTS * 2):
        with pytest.raises(GateError, match="bytes that no constant is made of"):
            read_network(XML, weights)
    with pytest.raises(GateError, match="ends at byte 48 of 47"):
        read_network(XML, WEIGHTS[:-1])


def test_names_that_openvino_counts_do_not_reach_the_file() -> None:
    whole = document()
    counted = [replace(layer, name=f"{layer.kind}_{4711 + layer.id}") for layer in whole.layers]
    counted[3] = replace(counted[3], name="scaled")
    names = ("inner", "inner", "inner", "logits,alias", "")
    counted = [
        replace(layer, outputs=tuple(replace(port, names=name) for port in layer.outputs))
        for layer, name in zip(counted, names, strict=True)
    ]
    found = tidied(Document(tuple(counted), whole.edges), {"scaled", "logits"}, {"logits"})
    assert [layer.name for layer in found.layers] == ["Parameter_0", "Convert_1", "Const_2", "scaled", "Result_4"]
    assert [port.names for layer in found.layers for port in layer.outputs] == ["", "", "", "logits"]
    assert found.edges == whole.edges and numbered(found.layers[2]) == "Const_2"


def test_a_name_is_given_once() -> None:
    whole = document()
    twice = Document(tuple(replace(layer, name="weight") for layer in whole.layers), whole.edges)
    names = [layer.name for layer in tidied(twice, {"weight"}, set()).layers]
    assert names == ["weight", "Convert_1", "Const_2", "Multiply_3", "Result_4"]
