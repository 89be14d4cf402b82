"""Resizing inside the graph: images of any size to the student's pixels, as `Preprocessing.apply` computes them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from exporters.core.errors import UsageError
from exporters.images.preprocessing import Preprocessing
from exporters.onnx.graph import consumers, producers, rename_uses, replace_all

RESIZED_NAME = "resized"
"""The value inside the graph that holds the student's pixels, uint8 `[batch, size, size, 3]`."""

MAX_DIFFERENCE = 2
"""In steps of 0..255, on any channel of any pixel.

ONNX Runtime and `Preprocessing.apply` both resize the width, round to 8 bits, and then the height, but compute the
filter's weights in float32 and float64. On noise, the worst case, fewer than one value in a hundred differs at all, by
1; bicubic, whose absolute weights add up to more than 1, occasionally turns a rounding of the first step into 2.
"""

# Catmull-Rom's coefficient, as Pillow has it; at the border both drop what lies outside and rescale what is left.
_FILTERS: dict[str, dict[str, Any]] = {
    "bilinear": {"mode": "linear"},
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5},
}


@dataclass(frozen=True)
class ResizeParity:
    """Differences between the graph's pixels and Pillow's, in steps of 0..255.

    Args:
        images: number of images compared.
        max_difference, mean_difference: over all channels of all pixels.
        differing: share of the values that differ at all.
        bound: on `max_difference`.
    """

    images: int
    max_difference: int
    mean_difference: float
    differing: float
    bound: int

    @property
    def passed(self) -> bool:
        """Whether the largest difference is within the bound."""
        return self.max_difference <= self.bound

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for `parity.json`."""
        return {**asdict(self), "passed": self.passed}


def add_resize(model: onnx.ModelProto, preprocessing: Preprocessing) -> None:
    """Put shorter-side resize and centre crop in front of the model's only input, in place.

    The input becomes uint8 `[batch, height, width, 3]`: one batch is of one size, the next may be of another. ONNX
    `Resize` with antialias (opset 18) widens its filter when it shrinks, as Pillow does; the sizes and the place of the
    crop are whole numbers, equal to those of `Preprocessing.apply`.
    """
    graph = model.graph
    image = graph.input[0]
    rename_uses(graph, image.name, RESIZED_NAME)
    for dim, symbol in zip(list(image.type.tensor_type.shape.dim)[1:3], ("height", "width"), strict=True):
        dim.dim_param = symbol
    nodes, constants = _resize_nodes(image.name, preprocessing)
    replace_all(graph, "node", [*nodes, *graph.node])
    graph.initializer.extend(constants)


def _resize_nodes(image: str, preprocessing: Preprocessing) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    size = preprocessing.size
    values = {"side": [preprocessing.resize], "crop": [size], "two": [2], "axes": [2, 3], "shape": [0, size, size, 3]}
    constants = [numpy_helper.from_array(np.array(value, np.int64), f"resize_{key}") for key, value in values.items()]
    # Height and width are computed together, as vectors of two.
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Transpose", [image], "planes", {"perm": [0, 3, 1, 2]}),
        ("Shape", ["planes"], "outer", {"end": 2}),
        ("Shape", ["planes"], "given", {"start": 2}),
        ("ReduceMin", ["given"], "shorter", {"keepdims": 1}),
        ("Mul", ["given", "side"], "product", {}),
        ("Div", ["product", "shorter"], "sizes", {}),
        ("Concat", ["outer", "sizes"], "shape_of_all", {"axis": 0}),
        (
            "Resize",
            ["planes", "", "", "shape_of_all"],
            "whole",
            {"antialias": 1, "exclude_outside": 1, "coordinate_transformation_mode": "half_pixel"}
            | _FILTERS[preprocessing.interpolation],
        ),
        # Half of the margin, with halves rounded to even: k + 1/2 becomes k + 1 where k is odd.
        ("Sub", ["sizes", "crop"], "margin", {}),
        ("Div", ["margin", "two"], "half", {}),
        ("Mod", ["margin", "two"], "margin_odd", {}),
        ("Mod", ["half", "two"], "half_odd", {}),
        ("Mul", ["margin_odd", "half_odd"], "up", {}),
        ("Add", ["half", "up"], "start", {}),
        ("Add", ["start", "crop"], "end", {}),
        ("Slice", ["whole", "start", "end", "axes"], "cropped", {}),
        ("Transpose", ["cropped"], "pixels", {"perm": [0, 2, 3, 1]}),
        ("Reshape", ["pixels", "shape"], RESIZED_NAME, {}),  # states the fixed size for shape inference
    ]
    kept = {"", image, RESIZED_NAME}

    def named(name: str) -> str:
        return name if name in kept else f"resize_{name}"

    nodes = [
        helper.make_node(operator, [named(name) for name in inputs], [named(output)], f"node_{named(output)}", **rest)
        for operator, inputs, output, rest in steps
    ]
    return nodes, constants


def without_resize(data: bytes, preprocessing: Preprocessing) -> bytes:
    """The model without the nodes of `add_resize`; it takes the student's pixels.


    Raises:
        UsageError: a model without these nodes.
    """
    model = _load_resizing(data)
    graph = model.graph
    end = next(index for index, node in enumerate(graph.node) if RESIZED_NAME in node.output)
    image, size = graph.input[0], preprocessing.size
    del graph.node[: end + 1]
    rename_uses(graph, RESIZED_NAME, image.name)
    for dim in list(image.type.tensor_type.shape.dim)[1:3]:
        dim.dim_value = size
    used = consumers(graph)
    replace_all(graph, "initializer", [tensor for tensor in graph.initializer if tensor.name in used])
    stripped: bytes = model.SerializeToString(deterministic=True)
    return stripped


def _load_resizing(data: bytes) -> onnx.ModelProto:
    model = onnx.load_from_string(data)
    if RESIZED_NAME not in producers(model.graph):
        raise UsageError("the model does not resize", remedy="Export it for images of any size.")
    return model


def resize_parity(
    data: bytes, preprocessing: Preprocessing, images: Iterable[Image.Image], *, bound: int = MAX_DIFFERENCE
) -> ResizeParity:
    """Compare the pixels that the graph computes for the student with those of `Preprocessing.apply`.

    Args:
        data: bytes of a model with the nodes of `add_resize`.
        preprocessing: the reference.
        images: mode RGB, any sizes.
        bound: on the largest difference.

    Raises:
        UsageError: no images, or a model without these nodes.
    """
    import onnxruntime

    model = _load_resizing(data)
    shape: list[str | int | None] = ["batch", preprocessing.size, preprocessing.size, 3]
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(RESIZED_NAME, TensorProto.UINT8, shape))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    count = largest = total = differing = values = 0
    for image in images:
        expected = preprocessing.apply(image).astype(np.int16)
        (found,) = session.run(None, {session.get_inputs()[0].name: np.asarray(image, np.uint8)[None]})
        difference = np.abs(found[0].astype(np.int16) - expected)
        count, values = count + 1, values + difference.size
        largest = max(largest, int(difference.max()))
        total, differing = total + int(difference.sum()), differing + int(np.count_nonzero(difference))
    if not count:
        raise UsageError("resize parity: no images to compare on")
    return ResizeParity(count, largest, total / values, differing / values, bound)
