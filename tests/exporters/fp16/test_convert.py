from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from exporters.core.errors import GateError, UsageError
from exporters.fp16.convert import emulate_fp16, to_fp16
from exporters.fp16.plan import plan_fp16
from exporters.runtimes import OnnxRuntime
from tests.exporters.conftest import Exported, random_images
from tests.exporters.onnx.planting import chain, error, overflowing, weights_of


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    graph = model.graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*graph.value_info, *graph.input, *graph.output]}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def check_structure(data: bytes) -> onnx.ModelProto:
    """Valid, and no Cast that could be saved."""
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, strict_mode=True, check_type=True)
    types = types_of(model)
    producers = {value: node for node in model.graph.node for value in node.output}
    used = {value for node in model.graph.node for value in node.input} | {"logits"}
    casts = [node for node in model.graph.node if node.op_type == "Cast" and types[node.input[0]] != TensorProto.UINT8]
    for node in casts:
        assert {types[node.input[0]], types[node.output[0]]} == {TensorProto.FLOAT, TensorProto.FLOAT16}
        assert producers[node.input[0]].op_type != "Cast", "a value that is cast back"
        assert node.output[0] in used
    assert max(Counter(node.input[0] for node in casts).values(), default=1) == 1, "a value that is cast twice"
    assert {tensor.name for tensor in model.graph.initializer} <= used
    return model


def test_every_weight_is_rounded_and_nothing_else_changes(cifar: Exported, shufflenet: Exported) -> None:
    for exported in (cifar, shufflenet):
        half = to_fp16(exported.data)
        assert half == to_fp16(exported.data)
        source, model = onnx.load_from_string(exported.data), check_structure(half)
        rounded = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        kept = [name for name, value in rounded.items() if value.dtype == np.float32]
        assert len(kept) == 2  # scale and shift of the normalisation
        for tensor in source.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if tensor.name not in kept and values.dtype == np.float32:
                values = values.astype(np.float16)
            np.testing.assert_array_equal(rounded[tensor.name], values)
        assert [node.name for node in model.graph.node if node.name in {n.name for n in source.graph.node}] == [
            node.name for node in source.graph.node
        ]
        assert len(model.graph.node) == len(source.graph.node) + 2
        for field in ("ir_version", "opset_import", "metadata_props", "model_version", "producer_version"):
            assert getattr(model, field) == getattr(source, field)
        assert model.graph.input == source.graph.input and model.graph.output == source.graph.output
        assert len(half) < 0.53 * len(exported.data)
        assert 0 < error(exported.logits, half, exported.images) < 3e-3
        assert 0 < error(exported.logits, emulate_fp16(half), exported.images) < 3e-3


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_any_nodes_can_stay_fp32(cifar: Exported, draw: st.DataObject) -> None:
    source = onnx.load_from_string(cifar.data)
    names = [node.name for node in source.graph.node]
    kept = draw.draw(st.lists(st.sampled_from(names), unique=True))
    half = to_fp16(cifar.data, keep_float=kept)
    model = check_structure(half)
    types = types_of(model)
    plan = plan_fp16(cifar.data, keep_float=kept)
    assert set(kept) <= {*plan.preprocessing, *plan.fp32} | {n.name for n in source.graph.node if n.op_type == "Slice"}
    for node in model.graph.node:
        if node.name in kept:
            assert types[node.output[0]] == TensorProto.FLOAT
        elif node.name in plan.fp16:
            assert types[node.output[0]] == TensorProto.FLOAT16
    assert error(cifar.logits, emulate_fp16(half), cifar.images) < 5e-3


def test_all_nodes_in_fp32_are_the_fp32_file(cifar: Exported) -> None:
    names = [node.name for node in onnx.load_from_string(cifar.data).graph.node]
    whole = to_fp16(cifar.data, keep_float=names)
    assert TensorProto.FLOAT16 not in types_of(onnx.load_from_string(whole)).values()
    np.testing.assert_array_equal(
        OnnxRuntime(whole, threads=1).predict(cifar.images), OnnxRuntime(cifar.data, threads=1).predict(cifar.images)
    )


def test_weight_out_of_range_keeps_its_node_in_fp32(cifar: Exported) -> None:
    planted, loud, quiet = overflowing(cifar.data, 1e7)
    assert error(cifar.logits, planted, cifar.images) < 1e-5  # in fp32 nothing has changed
    plan = plan_fp16(planted)
    assert set(plan.fp32) == {loud, quiet}
    assert "beyond fp16's 65504" in plan.fp32[loud]
    assert "below fp16's smallest normal number" in plan.fp32[quiet]
    model = check_structure(to_fp16(planted))
    source = onnx.load_from_string(planted)
    for name in (loud, quiet):
        original = weights_of(source, next(node for node in source.graph.node if node.name == name))
        written = weights_of(model, next(node for node in model.graph.node if node.name == name))
        assert [tensor.SerializeToString() for tensor in original] == [tensor.SerializeToString() for tensor in written]


def test_emulation_shows_an_overflow_that_the_cpu_hides() -> None:
    weights = [np.full((3, 4), 900.0), np.full((4, 4), 1 / 1024)]
    images = np.full((2, 2, 2, 3), 255, np.uint8)
    half = to_fp16(chain(weights))
    assert not plan_fp16(chain(weights)).fp32
    assert np.isfinite(OnnxRuntime(half, threads=1).predict(images)).all()  # 688,500 passed through in fp32
    assert np.isinf(OnnxRuntime(emulate_fp16(half), threads=1).predict(images)).all()


def test_emulation_rounds_after_each_node() -> None:
    random = np.random.default_rng(4)
    weights = [random.normal(size=shape) for shape in ((3, 8), (8, 8), (8, 4))]
    images = random.integers(0, 256, (5, 2, 2, 3)).astype(np.uint8)
    x = images.astype(np.float64).mean(axis=(1, 2)).astype(np.float16)
    for weight in weights:
        product = x.astype(np.float64) @ weight.astype(np.float32).astype(np.float16).astype(np.float64)
        x = product.astype(np.float32).astype(np.float16)
        if weight is not weights[-1]:
            x = np.maximum(x, np.zeros_like(x))
    emulated = emulate_fp16(to_fp16(chain(weights)))
    found = OnnxRuntime(emulated, threads=1).predict(images)
    # A sum in another order may end on the neighbouring number.
    one_step = 2.0**-10
    np.testing.assert_allclose(found, x.astype(np.float32), rtol=one_step, atol=one_step * np.abs(found).max())
    assert np.mean(found == x.astype(np.float32)) > 0.8
    assert emulate_fp16(chain(weights)) == chain(weights)


def shared_constant_model() -> bytes:
    """A weight and a Constant that two nodes read."""
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["x"], ["flat"], "flat"),
        helper.make_node("Constant", [], ["two"], "two", value_float=2.0),
        helper.make_node("MatMul", ["flat", "w"], ["a"], "first"),
        helper.make_node("Mul", ["a", "two"], ["b"], "double"),
        helper.make_node("MatMul", ["b", "w"], ["c"], "second"),
        helper.make_node("Add", ["c", "two"], ["logits"], "add"),
    ]
    graph = helper.make_graph(
        nodes,
        "student",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 2, 2, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 12])],
        [numpy_helper.from_array(np.eye(12, dtype=np.float32) / 3, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def test_weight_read_in_both_types_is_stored_twice() -> None:
    half = to_fp16(shared_constant_model(), keep_float=["second", "add"])
    model = check_structure(half)
    found = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    float32, float16 = TensorProto.FLOAT, TensorProto.FLOAT16
    assert found == {"w": float32, "w_fp16": float16, "two": float32, "two_fp16": float16}
    images = random_images(3, 8)[:, :2, :2]
    expected = images.reshape(3, -1) * (2 / 9) + 2
    np.testing.assert_allclose(OnnxRuntime(half, threads=1).predict(images), expected, rtol=2e-3)


def test_plain_onnxruntime_takes_any_batch(cifar: Exported) -> None:
    session = onnxruntime.InferenceSession(to_fp16(cifar.data), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        (logits,) = session.run(None, {"image": cifar.images[:count]})
        assert logits.dtype == np.float32 and logits.shape == cifar.logits[:count].shape
    assert session.get_modelmeta().custom_metadata_map.keys() >= {"labels", "preprocessing"}


def test_bad_arguments_are_refused(cifar: Exported) -> None:
    with pytest.raises(UsageError, match="no node of the model is called nobody"):
        to_fp16(cifar.data, keep_float=["nobody"])
    with pytest.raises(GateError, match="damaged or not an ONNX file"):
        to_fp16(b"\xff\xff not a model")
    model = onnx.load_from_string(cifar.data)
    model.graph.node[-1].input[0] = "nothing"
    with pytest.raises(GateError, match="not valid ONNX"):
        to_fp16(model.SerializeToString())
