"""The output `cam` of exported files against maps computed by hand, and against files without it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.audit import audit_export
from exporters.core.errors import GateError, UnavailableError
from exporters.fp16.convert import emulate_fp16, to_fp16
from exporters.onnx.cam import PRODUCT, CamSource, find_cam_source, with_cam
from exporters.onnx.reader import read_onnx
from exporters.quantize import Calibration, quantize
from exporters.runtimes import OnnxRuntime
from tests.exporters.conftest import Exported
from tests.exporters.student.test_cam import by_hand


def variants(exported: Exported) -> dict[str, bytes]:
    """Files of each precision, by the middle of their names."""
    calibration = Calibration(lambda: iter([exported.images]))
    return {
        "fp32": exported.data,
        "fp16": to_fp16(exported.data),
        "int8": quantize(exported.data, calibration, target="cpu"),
        "int8.trt": quantize(exported.data, calibration, target="tensorrt"),
    }


def test_maps_of_every_precision_are_those_computed_by_hand(cifar: Exported) -> None:
    source = find_cam_source(cifar.data)
    logits, maps = by_hand(cifar, cifar.images)
    scale = np.abs(maps).max()
    for name, data in variants(cifar).items():
        added = with_cam(data, source, dequantize_row=name != "int8.trt")
        found = OnnxRuntime(added.data, threads=1).explain(cifar.images)
        same = found.logits.argmax(axis=1) == logits.argmax(axis=1)
        assert same.mean() >= 0.9 and added.kept_float == ()
        bound = {"fp32": 1e-5, "fp16": 2e-3}.get(name, 0.1)
        assert np.abs(found.cam - maps)[same].max() < bound * scale, name
        np.testing.assert_array_equal(found.logits, OnnxRuntime(data, threads=1).predict(cifar.images))
        assert len(added.data) - len(data) < 2000  # no copy of a weight


def test_a_device_with_fp16_kernels_gives_the_map_too(cifar: Exported) -> None:
    added = with_cam(to_fp16(cifar.data), find_cam_source(cifar.data))
    _, maps = by_hand(cifar, cifar.images)
    found = OnnxRuntime(emulate_fp16(added.data), threads=1).explain(cifar.images)
    assert 1e-5 < np.abs(found.cam - maps).max() / np.abs(maps).max() < 5e-3


def test_rest_of_the_file_stays_as_it_is_and_is_explained(cifar: Exported) -> None:
    before = onnx.load_from_string(cifar.data)
    data = with_cam(cifar.data, find_cam_source(cifar.data)).data
    after = onnx.load_from_string(data)
    assert list(after.graph.node)[: len(before.graph.node)] == list(before.graph.node)
    assert list(after.graph.initializer)[: len(before.graph.initializer)] == list(before.graph.initializer)
    assert list(after.metadata_props) == list(before.metadata_props)
    output = read_onnx(data).outputs[-1]
    assert (output.name, output.dtype, output.dims) == ("cam", "float32", ("batch", 8, 8))
    entries = audit_export(data, cifar.student)
    assert [entry["origin"] for entry in entries[len(cifar.entries) :]] == ["constant", "constant"]


def test_batch_is_dynamic(cifar: Exported) -> None:
    runtime = OnnxRuntime(with_cam(cifar.data, find_cam_source(cifar.data)).data, threads=1)
    whole = runtime.explain(cifar.images).cam
    for size in (1, 7):
        part = runtime.explain(cifar.images[:size]).cam
        np.testing.assert_allclose(part, whole[:size], atol=1e-5 * np.abs(whole).max())


def pooled_classifier(weight: np.ndarray, *, transposed: bool, between: str | None = None) -> bytes:
    """Uint8 images `[batch, 4, 4, 3]` as their own map, pooled, through MatMul and Add or Gemm."""
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["map"], "planes", perm=[0, 3, 1, 2]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
    ]
    features = "flat"
    if between is not None:
        nodes.append(helper.make_node(between, ["flat"], ["between"], "between"))
        features = "between"
    if transposed:
        nodes.append(helper.make_node("MatMul", [features, "w"], ["product"], "product"))
        nodes.append(helper.make_node("Add", ["product", "b"], ["logits"], "bias"))
    else:
        nodes.append(helper.make_node("Gemm", [features, "w", "b"], ["logits"], "gemm", transB=1))
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 4, 4, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(weight)])
    values = {"w": weight.T.copy() if transposed else weight, "b": np.arange(len(weight), dtype=np.float32)}
    tensors = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "student", [image], [logits], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


@pytest.mark.parametrize("transposed", [False, True])
def test_either_layout_of_the_classifier_gives_the_map_of_its_answer(transposed: bool) -> None:
    random = np.random.default_rng(4)
    weight = random.normal(size=(5, 3)).astype(np.float32)
    images = random.integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    data = pooled_classifier(weight, transposed=transposed)
    source = find_cam_source(data)
    name = "product" if transposed else "gemm"
    assert source == CamSource("pool", name, int(transposed), 3, (4, 4))
    found = OnnxRuntime(with_cam(data, source).data, threads=1).explain(images)
    expected = np.einsum("nc,nhwc->nhw", weight[found.logits.argmax(axis=1)], images.astype(np.float32))
    np.testing.assert_allclose(found.cam, expected, rtol=1e-5, atol=1e-2)


def test_graph_without_a_linear_classifier_is_refused() -> None:
    data = pooled_classifier(np.ones((5, 3), np.float32), transposed=False)
    model = onnx.load_from_string(data)
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("Relu", ["before"], ["logits"], "last"))
    with pytest.raises(UnavailableError, match="logits come from Relu last, which is no linear layer on a pooled map"):
        find_cam_source(model.SerializeToString())


def test_file_of_another_student_is_refused(cifar: Exported) -> None:
    data = pooled_classifier(np.ones((5, 3), np.float32), transposed=False)
    with pytest.raises(GateError, match="has no nodes"):
        with_cam(data, find_cam_source(cifar.data))


def test_map_in_fp32_of_an_fp16_file_is_said(cifar: Exported) -> None:
    """Where the pooled map stays fp32, so does the product, which engines of fp16 are told."""
    source = find_cam_source(cifar.data)
    pooled = next(node for node in onnx.load_from_string(cifar.data).graph.node if node.name == source.pooling)
    maker = next(node for node in onnx.load_from_string(cifar.data).graph.node if pooled.input[0] in node.output)
    added = with_cam(to_fp16(cifar.data, keep_float=[maker.name, source.pooling]), source)
    assert added.kept_float == (PRODUCT,)
    _, maps = by_hand(cifar, cifar.images)
    found = OnnxRuntime(added.data, threads=1).explain(cifar.images)
    assert np.abs(found.cam - maps).max() < 2e-3 * np.abs(maps).max()
