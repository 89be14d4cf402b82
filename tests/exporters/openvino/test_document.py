"""Reading XML that nobody vouches for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.core.errors import GateError
from exporters.openvino import document as module
from exporters.openvino.document import Document, Layer, Port, read_document, write_document
from tests.exporters.openvino.small import document, files

XML, _ = files()
TEXT = st.text(st.characters(min_codepoint=32, blacklist_categories=("Cs",)), max_size=12)
PORTS = st.lists(
    st.builds(Port, st.integers(0, 9), TEXT, st.lists(st.integers(-1, 999), max_size=4).map(tuple), TEXT), max_size=3
).map(tuple)
LAYERS = st.builds(
    Layer,
    st.integers(0, 999),
    TEXT,
    TEXT,
    TEXT,
    st.dictionaries(st.sampled_from(["axis", "offset", "exclude-pad"]), TEXT, max_size=3),
    st.lists(st.tuples(st.sampled_from(module.HINTS), TEXT), max_size=2).map(tuple),
    PORTS,
    PORTS,
)
EDGES = st.lists(st.tuples(*[st.integers(0, 999)] * 4), max_size=4)


@given(st.builds(lambda layers, edges: Document(tuple(layers), tuple(edges)), st.lists(LAYERS, max_size=3), EDGES))
def test_what_is_written_is_read_again(whole: Document) -> None:
    written = write_document(whole)
    assert read_document(written) == whole
    assert write_document(read_document(written)) == written


def test_what_openvino_adds_is_left_out() -> None:
    added = b'<rt_info><Runtime_version value="of this machine" /></rt_info></net>'
    rich = XML.replace(b"</net>", added).replace(b"<edges>", b"<!-- written today -->\n<edges>")
    assert rich != XML and write_document(read_document(rich)) == XML


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged or not XML"),
        (XML[:-20], "damaged or not XML"),
        (XML.replace(b"<net ", b"<html ").replace(b"</net>", b"</html>"), "a document of <html>"),
        (XML.replace(b'version="11"', b'version="10"'), "IR of version 10"),
        (XML.replace(b'<layer id="0"', b'<layer id="1e3"'), "'1e3' in place of a number"),
        (XML.replace(b"<dim>3</dim>", b"<dim>-7</dim>"), "'-7' in place of a number"),
        (XML.replace(b"<dim>3</dim>", b"<dim>9999999999999999999</dim>"), "in place of a number"),
        (XML.replace(b' type="Const"', b""), "<layer> without type"),
        (XML.replace(b'from-port="0" ', b""), "<edge> without from-port"),
    ],
)
def test_what_is_no_network_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(GateError, match=message):
        read_document(data)


@pytest.mark.parametrize(
    "doctype",
    [
        b'<!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        b'<!DOCTYPE net [<!ENTITY secret SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE net SYSTEM "http://localhost/net.dtd">',
    ],
)
def test_a_document_type_is_refused_before_an_entity_is_expanded(doctype: bytes) -> None:
    hostile = XML.replace(b"<net ", doctype + b"<net ", 1)
    with pytest.raises(GateError, match="document type"):
        read_document(hostile)


def test_depth_and_size_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GateError, match="deeper"):
        read_document(b"<net>" + b"<a>" * 10_000 + b"</a>" * 10_000 + b"</net>")
    monkeypatch.setattr(module, "_MOST_ELEMENTS", 10)
    with pytest.raises(GateError, match="more elements"):
        read_document(XML)
    monkeypatch.setattr(module, "MOST_BYTES", len(XML) - 1)
    with pytest.raises(GateError, match="bytes of XML are more"):
        read_document(XML)


def test_text_between_tags_is_not_kept() -> None:
    hostile = XML.replace(b"<layers>", b"<layers>" + b"x<a/>" * 1000)
    assert module._parse(hostile).children[0].text == ""
    with pytest.raises(GateError, match="in place of a number"):
        read_document(XML.replace(b"<dim>3", b"<dim>" + b"0" * 100_000 + b"3", 1))


def test_quotes_and_angles_in_names_are_escaped() -> None:
    layer = Layer(0, 'a"<&>b', "Const", "opset1")
    written = write_document(Document((layer,), ()))
    assert b"&lt;&amp;&gt;" in written and read_document(written).layers == (layer,)


def test_the_network_of_these_tests_has_six_ports() -> None:
    whole = document()
    assert [len(layer.inputs) + len(layer.outputs) for layer in whole.layers] == [1, 2, 1, 3, 1]
