"""Resizing inside the graph: images of any size in, the student's pixels out, as `Preprocessing.apply` makes them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from exporters.core.errors import UsageError
from exporters.images.preprocessing import Preprocessing

RESIZED_NAME = "resized"
"""The value inside the graph that holds the student's pixels, uint8 `[batch, size, size, 3]`."""

MAX_DIFFERENCE = 2
"""In steps of 0..255, on any channel of any pixel.

ONNX Runtime and `Preprocessing.apply` both resize the width, round to 8 bits, and then the height, but compute the
filter's weights in float32 and float64. On noise, the worst case, fewer than one value in a hundred differs at all, by
1; bicubic, whose weights add up to more than 1 in absolute value, makes a difference of 2 of a rounding in the first
pass now and then.
"""

# Catmull-Rom's coefficient, as Pillow has it; at the border both drop what lies outside and rescale what is left.
_FILTERS: dict[str, dict[str, Any]] = {
    "bilinear": {"mode": "linear"},
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5},
}


@dataclass(frozen=True)
class ResizeParity:
    """How far the graph's pixels are from Pillow's.

    Args:
        images: how many were compared.
        max_difference: the largest of any channel of any pixel, in steps of 0..255.
        mean_difference: over all values.
        differing: share of the values that differ at all.
        bound: of `max_difference`.
    """

    images: int
    max_difference: int
    mean_difference: float
    differing: float
    bound: int

    @property
    def passed(self) -> bool:
        """True within the bound."""
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
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == image.name:
                node.input[index] = RESIZED_NAME
    for dim, symbol in zip(list(image.type.tensor_type.shape.dim)[1:3], ("height", "width"), strict=True):
        dim.dim_param = symbol
    nodes, constants = _resize_nodes(image.name, preprocessing)
    student = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *student])
    graph.initializer.extend(constants)


def _resize_nodes(image: str, preprocessing: Preprocessing) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    size = preprocessing.size
    values = {"side": [preprocessing.resize], "crop": [size], "two": [2], "axes": [2, 3], "shape": [0, size, size, 3]}
    constants = [numpy_helper.from_array(np.array(value, np.int64), f"resize_{key}") for key, value in values.items()]
    # Height and width are worked on together, as vectors of two.
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
        # Half of the margin, a half of it rounded to the even side: k + 1/2 goes to k + 1 where k is odd.
        ("Sub", ["sizes", "crop"], "margin", {}),
        ("Div", ["margin", "two"], "half", {}),
        ("Mod", ["margin", "two"], "margin_odd", {}),
        ("Mod", ["half", "two"], "half_odd", {}),
        ("Mul", ["margin_odd", "half_odd"], "up", {}),
        ("Add", ["half", "up"], "start", {}),
        ("Add", ["start", "crop"], "end", {}),
        ("Slice", ["whole", "start", "end", "axes"], "cropped", {}),
        ("Transpose", ["cropped"], "pixels", {"perm": [0, 2, 3, 1]}),
        ("Reshape", ["pixels", "shape"], RESIZED_NAME, {}),  # tells the fixed size to whoever infers shapes
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
    """The rest of a model behind `add_resize`'s nodes, as a model of its own that takes the student's pixels.

    Raises:
        UsageError: a model without these nodes.
    """
    model = onnx.load_from_string(data)
    graph = model.graph
    ends = [index for index, node in enumerate(graph.node) if RESIZED_NAME in node.output]
    if not ends:
        raise UsageError("the model does not resize", remedy="Export it for images of any size.")
    image, size = graph.input[0], preprocessing.size
    del graph.node[: ends[0] + 1]
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == RESIZED_NAME:
                node.input[index] = image.name
    for dim in list(image.type.tensor_type.shape.dim)[1:3]:
        dim.dim_value = size
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    stripped: bytes = model.SerializeToString(deterministic=True)
    return stripped


def resize_parity(
    data: bytes, preprocessing: Preprocessing, images: Iterable[Image.Image], *, bound: int = MAX_DIFFERENCE
) -> ResizeParity:
    """Compare the pixels that the graph gives to the student with those of `Preprocessing.apply`.

    Args:
        data: of a model with `add_resize`'s nodes.
        preprocessing: what they should do.
        images: mode RGB, any sizes.
        bound: of the largest difference.

    Raises:
        UsageError: no images, or a model without these nodes.
    """
    import onnxruntime

    model = onnx.load_from_string(data)
    if not any(RESIZED_NAME in node.output for node in model.graph.node):
        raise UsageError("the model does not resize", remedy="Export it for images of any size.")
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
