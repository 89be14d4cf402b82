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
