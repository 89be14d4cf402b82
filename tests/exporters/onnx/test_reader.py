import hashlib
import tracemalloc

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from exporters.onnx import reader as onnx_reader
from exporters.onnx.reader import OnnxReadError, read_onnx
from exporters.onnx.wire import WireError, message
from tests.exporters.conftest import Exported


def counted(graph: onnx.GraphProto, counts: dict[str, int]) -> dict[str, int]:
    for node in graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
        for attribute in node.attribute:
            for inner in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                counted(inner, counts)
    return counts


def make_model(**changes: object) -> onnx.ModelProto:
    """Every part that the reader knows: a subgraph, a function, typed and raw data, long attributes."""
    scalar = helper.make_tensor_value_info("y", TensorProto.FLOAT, [])
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=helper.make_tensor("c", TensorProto.FLOAT, [], [3.0]))],
        "branch",
        [],
        [scalar],
    )
    nodes = [
        helper.make_node("If", ["flag"], ["z"], then_branch=branch, else_branch=branch),
        helper.make_node("Scale", ["x"], ["w"], domain="own"),
        helper.make_node("Constant", [], ["k"], value_floats=[float(value) for value in range(40)]),
        helper.make_node("Constant", [], ["j"], value_ints=[-1, *range(40)]),
        helper.make_node("Constant", [], ["s"], value_ints=[1, 2]),
    ]
    tensors = [
        helper.make_tensor("flag", TensorProto.BOOL, [], [True]),
        helper.make_tensor("floats", TensorProto.FLOAT, [2, 2], [1.5, -2.0, 3.0, 4.0]),
        helper.make_tensor("ints", TensorProto.INT64, [3], [-1, 2, 2**40]),
        helper.make_tensor("bytes", TensorProto.INT8, [2], [-3, 4]),
        helper.make_tensor("words", TensorProto.UINT32, [2], [7, 2**32 - 1]),
        helper.make_tensor("halves", TensorProto.FLOAT16, [2], [0.5, -1.0]),
        helper.make_tensor("doubles", TensorProto.DOUBLE, [1], [0.1]),
        helper.make_tensor("empty", TensorProto.FLOAT, [0], []),
        numpy_helper.from_array(np.arange(6, dtype=np.int32).reshape(2, 3), "raw"),
    ]
    function = helper.make_function(
        "own", "Scale", ["x"], ["w"], [helper.make_node("Relu", ["x"], ["w"])], [helper.make_opsetid("", 20)]
    )
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    w = helper.make_tensor_value_info("w", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "g", [x, flag], [w], tensors, value_info=[scalar])
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("own", 1)],
        functions=[function],
        ir_version=10,
        producer_name="me",
    )
    helper.set_model_props(model, {"a": "1", "ä": "ü"})
    return model


def test_reader_agrees_with_the_onnx_package_on_exports(cifar: Exported, shufflenet: Exported) -> None:
    for exported in (cifar, shufflenet):
        found, expected = read_onnx(exported.data), onnx.load_from_string(exported.data)
        assert found.opsets == {entry.domain: entry.version for entry in expected.opset_import}
        assert (found.ir_version, found.model_version) == (expected.ir_version, expected.model_version)
        assert found.producer == f"{expected.producer_name} {expected.producer_version}"
        assert found.metadata == {entry.key: entry.value for entry in expected.metadata_props}
        assert found.operators == dict(sorted(counted(expected.graph, {}).items())) == exported.export.operators
        assert [tensor.name for tensor in found.tensors] == [tensor.name for tensor in expected.graph.initializer]
        for tensor, reference in zip(found.tensors, expected.graph.initializer, strict=True):
            values = numpy_helper.to_array(reference)
            np.testing.assert_array_equal(tensor.array(), values)
            assert tensor.dtype == values.dtype.name
            assert tensor.sha256 == hashlib.sha256(values.tobytes()).hexdigest()
        assert [(value.name, value.dtype, value.dims[0]) for value in found.inputs] == [("image", "uint8", "batch")]
        assert found.outputs[0].dims == ("batch", 7)
        assert found.extras == []


def test_every_storage_and_nested_part_is_read() -> None:
    model = make_model()
    found = read_onnx(model.SerializeToString())
    by_name = {tensor.name: tensor for tensor in found.tensors}
    for reference in model.graph.initializer:
        np.testing.assert_array_equal(by_name[reference.name].array(), numpy_helper.to_array(reference))
    assert [tensor.storage for tensor in found.tensors if tensor.name == "c"] == ["attribute", "attribute"]
    np.testing.assert_array_equal(by_name["Constant.value_floats"].array(), np.arange(40, dtype=np.float32))
    np.testing.assert_array_equal(by_name["Constant.value_ints"].array(), [-1, *range(40)])
    assert found.operators == {"Constant": 5, "If": 1, "Relu": 1, "own::Scale": 1}
    assert found.opsets == {"": 20, "own": 1}
    assert found.metadata == {"a": "1", "ä": "ü"}
    assert [value.name for value in found.inputs] == ["x"]
    assert found.extras == []


def test_tables_know_every_field_of_the_onnx_package() -> None:
    pairs = [
        (onnx.ModelProto, onnx_reader._MODEL),
        (onnx.GraphProto, onnx_reader._GRAPH),
        (onnx.NodeProto, onnx_reader._NODE),
        (onnx.AttributeProto, onnx_reader._ATTRIBUTE),
        (onnx.TensorProto, onnx_reader._TENSOR),
        (onnx.FunctionProto, onnx_reader._FUNCTION),
        (onnx.ValueInfoProto, onnx_reader._VALUE),
        (onnx.OperatorSetIdProto, onnx_reader._OPSET),
        (onnx.StringStringEntryProto, onnx_reader._ENTRY),
        (onnx.TensorShapeProto.Dimension, onnx_reader._DIMENSION),
        (onnx.TypeProto.Tensor, onnx_reader._TENSOR_TYPE),
    ]
    for proto, table in pairs:
        fields = {field.number: field.name for field in proto.DESCRIPTOR.fields}
        assert {number: name for number, (name, _) in table.items()} == fields


def test_superfluous_parts_are_reported() -> None:
    model = make_model()
    model.doc_string = "by me"
    model.graph.node[0].metadata_props.add(key="trace", value="x")
    model.graph.node[1].attribute.append(helper.make_attribute("text", "x" * 300))
    model.training_info.add()
    model.graph.value_info[0].doc_string = "x"
    extras = " ".join(read_onnx(model.SerializeToString()).extras)
    for word in ("the model has doc_string", "metadata_props", "long text", "training_info", "value y has doc_string"):
        assert word in extras


def damaged(kind: str) -> bytes:
    model = make_model()
    tensor = model.graph.initializer[1]
    if kind == "another file":
        tensor.data_location = TensorProto.EXTERNAL
    elif kind == "needs 16000000000000":
        tensor.dims[:] = [2_000_000, 2_000_000]
    elif kind == "impossible dimensions":
        tensor.dims[:] = [-4]
    elif kind == "keeps its values in":
        tensor.raw_data = b"1234567812345678"
    elif kind == "element type 8":
        model.graph.initializer.append(helper.make_tensor("text", TensorProto.STRING, [1], [b"x"]))
    elif kind == "'flag' occurs twice":
        model.graph.initializer.append(model.graph.initializer[0])
    elif kind == "metadata 'a' occurs twice":
        model.metadata_props.add(key="a", value="2")
    elif kind == "0 graphs":
        model.ClearField("graph")
    elif kind == "nested too deeply":
        for _ in range(20):
            outer = helper.make_graph([helper.make_node("If", ["flag"], ["z"], then_branch=model.graph)], "g", [], [])
            model.graph.CopyFrom(outer)
    elif kind == "unknown field":
        return model.SerializeToString() + b"\xf8\x07\x01"
    return model.SerializeToString()


@pytest.mark.parametrize(
    "kind",
    [
        "another file", "needs 16000000000000", "impossible dimensions", "keeps its values in", "element type 8",
        "'flag' occurs twice", "metadata 'a' occurs twice", "0 graphs", "nested too deeply", "unknown field",
    ],
)  # fmt: skip
def test_damage_is_named(kind: str) -> None:
    with pytest.raises(OnnxReadError, match=kind):
        read_onnx(damaged(kind))


def test_a_second_graph_is_refused() -> None:
    model = make_model()
    model.ClearField("metadata_props")
    with pytest.raises(OnnxReadError, match="2 graphs"):
        read_onnx(model.SerializeToString() * 2)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x08", "cut off"),
        (b"\x08" + b"\xff" * 11, "64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "64 bits"),
        (b"\x0b", "wire type 3"),
        (b"\x3d\x00\x00\x00\x00", "wire type 5"),
        (b"\x12\xff\xff\xff\xff\x0f", "cut off"),
        (b"\x12\x02\xff\xfe\x3a\x00", "utf-8"),
    ],
)
def test_damaged_encoding_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(OnnxReadError, match=reason):
        read_onnx(data)


def test_truncated_fields_are_refused() -> None:
    for data in (b"\x15\x00\x00", b"\x12\x03abc"):
        with pytest.raises(WireError, match="cut off"):
            message(memoryview(data), {2: ("f", "float")})


SMALL = make_model().SerializeToString()


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_bytes_never_hang_nor_take_memory(data: st.DataObject) -> None:
    content = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    tracemalloc.start()
    try:
        for tensor in read_onnx(bytes(content)).tensors:
            assert tensor.array().nbytes == len(tensor.data)
    except OnnxReadError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2_000_000


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(OnnxReadError):
        read_onnx(data)
