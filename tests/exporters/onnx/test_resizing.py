import dataclasses

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from PIL import Image

from exporters.core.errors import UsageError
from exporters.images.preprocessing import Preprocessing
from exporters.onnx.resizing import RESIZED_NAME, add_resize, resize_parity

PLAIN = Preprocessing(24, 28, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def resizing_model(preprocessing: Preprocessing) -> onnx.ModelProto:
    """A student that gives its pixels back."""
    size = preprocessing.size
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", size, size, 3])
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", size, size, 3])
    node = helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT)
    graph = helper.make_graph([node], "student", [image], [pixels])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    add_resize(model, preprocessing)
    return model


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


@settings(deadline=None, max_examples=25)
@given(
    width=st.integers(1, 150),
    height=st.integers(1, 150),
    size=st.integers(1, 40),
    more=st.integers(0, 9),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
)
def test_the_graph_gives_pillows_pixels(width: int, height: int, size: int, more: int, interpolation: str) -> None:
    preprocessing = dataclasses.replace(PLAIN, size=size, resize=size + more, interpolation=interpolation)
    data = resizing_model(preprocessing).SerializeToString()
    result = resize_parity(data, preprocessing, [noise(width, height, width * height)])
    assert result.passed, result


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_few_values_differ_from_pillow(interpolation: str) -> None:
    preprocessing = dataclasses.replace(PLAIN, size=64, resize=73, interpolation=interpolation)
    data = resizing_model(preprocessing).SerializeToString()
    result = resize_parity(
        data, preprocessing, [noise(*size) for size in ((75, 100), (211, 130), (50, 60), (301, 400))]
    )
    assert result.images == 4 and result.max_difference <= 1 and result.differing < 0.02


def test_the_model_is_valid_and_knows_its_shapes() -> None:
    model = onnx.shape_inference.infer_shapes(resizing_model(PLAIN), check_type=True, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    dims = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", "height", "width", 3]
    (resized,) = (value for value in model.graph.value_info if value.name == RESIZED_NAME)
    assert [dim.dim_value for dim in resized.type.tensor_type.shape.dim][1:] == [24, 24, 3]


@pytest.mark.parametrize(
    ("attribute", "value"), [("antialias", 0), ("coordinate_transformation_mode", b"align_corners"), ("mode", b"cubic")]
)
def test_another_filter_is_found(attribute: str, value: int | bytes) -> None:
    model = resizing_model(PLAIN)
    (resize,) = (node for node in model.graph.node if node.op_type == "Resize")
    (found,) = (entry for entry in resize.attribute if entry.name == attribute)
    found.CopyFrom(helper.make_attribute(attribute, value))
    for entry in resize.attribute:  # ONNX Runtime knows these two together only
        if attribute != "mode" and entry.name in {"antialias", "exclude_outside"}:
            entry.i = 0
    result = resize_parity(model.SerializeToString(), PLAIN, [noise(90, 61), noise(61, 90)])
    assert not result.passed and result.to_json()["passed"] is False


def test_another_preprocessing_is_found() -> None:
    other = dataclasses.replace(PLAIN, resize=30)
    result = resize_parity(resizing_model(other).SerializeToString(), PLAIN, [noise(90, 61)])
    assert not result.passed and result.mean_difference > 5


def test_parity_without_images_or_resize_is_refused() -> None:
    data = resizing_model(PLAIN).SerializeToString()
    with pytest.raises(UsageError, match="no images"):
        resize_parity(data, PLAIN, [])
    model = onnx.load_from_string(data)
    model.graph.node[-2].output[0] = "other"
    with pytest.raises(UsageError, match="does not resize"):
        resize_parity(model.SerializeToString(), PLAIN, [noise(4, 4)])


def test_results_of_several_images_are_combined() -> None:
    data = resizing_model(PLAIN).SerializeToString()
    flat = Image.fromarray(np.full((50, 70, 3), 77, np.uint8))
    result = resize_parity(data, PLAIN, [flat, flat])
    assert (result.images, result.max_difference, result.mean_difference, result.differing) == (2, 0, 0.0, 0.0)
