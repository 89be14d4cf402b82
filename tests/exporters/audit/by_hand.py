"""Files of a few tensors, made by hand: what an audit explains follows from their values alone."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from exporters.audit.entries import identity
from exporters.onnx.reader import read_onnx


def file(*protos: TensorProto, doc_string: str = "", **tensors: np.ndarray) -> bytes:
    """A model of these tensors and one operator, which uses none of them."""
    initializers = [*protos, *(numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items())]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [], initializers, doc_string)
    return helper.make_model(graph).SerializeToString()


def with_origins(data: bytes, **origins: str) -> list[dict[str, Any]]:
    """The entries of a file; an origin that is not given is `copy of <name>`."""
    return [
        {**identity(tensor), "origin": origins.get(tensor.name, f"copy of {tensor.name}")}
        for tensor in read_onnx(data).tensors
    ]


CONSTANTS: list[tuple[np.ndarray, bool]] = [
    (np.array([0.1, 0.2, 0.3, 0.4], np.float32), True),
    (np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32), False),
    (np.array([1, 2, 4, 8], np.int8), True),
    (np.array([1, 2, 4, 8, 16], np.int8), False),
    (np.array([1, 2, 4, 8, 16], np.uint8), False),
    (np.arange(64) ** 2, True),
    (np.arange(65) ** 2, False),
    (np.arange(65) * 3, True),
    ((np.arange(64) ** 2).astype(np.int32), True),
    ((np.arange(65) ** 2).astype(np.int32), False),
    (np.arange(64) % 3 == 0, True),
    (np.arange(65) % 3 == 0, False),
]
"""Values that follow from no weight, and whether they are few enough, or regular enough, to be a network's own."""
