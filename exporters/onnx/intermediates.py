"""Every value that an ONNX file computes on the way to its logits."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from exporters.core.errors import UnavailableError
from exporters.core.interrupts import interrupts_kept
from exporters.fp16.plan import load_typed

_BYTES = {TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2}
_RUN_BYTES = 512 * 1024**2  # of one image's values held at a time


class Intermediates:
    """An ONNX file whose floating-point values can be looked at, in ONNX Runtime on the CPU without optimisation.

    Args:
        data: bytes of the file; fp32, fp16 or int8 between QuantizeLinear and DequantizeLinear.

    Raises:
        GateError: not a valid ONNX file.
    """

    def __init__(self, data: bytes) -> None:
        self._model, types = load_typed(data)
        self.producers: dict[str, onnx.NodeProto] = {}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in self._model.graph.node:
            self.producers.update((value, node) for value in node.output if value)
            for value in node.input:
                self.consumers.setdefault(value, []).append(node)
        self.values = [value for value in self.producers if types.get(value) in _BYTES]
        """Names of the floating-point values, in the order in which the file computes them."""
        graph = self._model.graph
        self._sizes = {
            value.name: _BYTES.get(value.type.tensor_type.elem_type, 8)
            * math.prod(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
            for value in [*graph.value_info, *graph.output]
        }
        self._input = graph.input[0].name

    def groups(self, values: Sequence[str]) -> list[list[str]]:
        """The values in their order, in parts that fit into memory for one image."""
        result: list[list[str]] = []
        room = 0
        for value in values:
            size = self._sizes.get(value, 0)
            if not result or size > room:
                result.append([])
                room = _RUN_BYTES
            result[-1].append(value)
            room -= size
        return result

    def run(self, values: Sequence[str], images: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """The named values for one image after another, uint8 `[n, size, size, 3]`.

        Raises:
            UnavailableError: onnxruntime is not installed, or has no kernel for one of the nodes.
        """
        session = unoptimised_session(self._model, values)
        for index in range(len(images)):
            yield dict(zip(values, session.run(list(values), {self._input: images[index : index + 1]}), strict=True))


def unoptimised_session(model: onnx.ModelProto, values: Sequence[str]) -> Any:
    """A session of ONNX Runtime on the CPU that gives the named values, each node computed as it is written.

    Raises:
        UnavailableError: onnxruntime is not installed, or has no kernel for one of the nodes.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError("onnxruntime is not installed", remedy="pip install onnxruntime") from error
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=value) for value in values)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        with interrupts_kept():
            return onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = str(error).split("\n")[0][:300]
        raise UnavailableError(f"ONNX Runtime cannot run the model node by node: {reason}") from error


def largest_values(data: bytes, images: np.ndarray) -> dict[str, float]:
    """The largest absolute value of each intermediate value over the images, infinite where it is not finite.

    Args:
        data: bytes of an ONNX file.
        images: uint8 `[n, size, size, 3]`.
    """
    model = Intermediates(data)
    largest = dict.fromkeys(model.values, 0.0)
    for group in model.groups(model.values):
        for found in model.run(group, images):
            for name, array in found.items():
                value = float(np.abs(array.astype(np.float64)).max(initial=0))
                largest[name] = max(largest[name], value if math.isfinite(value) else math.inf)
    return largest
