"""The values that an ONNX file computes between its input and its logits."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from onnx import TensorProto

from exporters.onnx.graph import consumers, load_typed, producers, unoptimized_session

_BYTES = {TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2}
_RUN_BYTES = 512 * 1024**2  # of one image's values held at a time


class Intermediates:
    """The floating-point values of an ONNX file, computed by ONNX Runtime on the CPU without optimization.

    Args:
        data: bytes of the file; fp32, fp16 or int8 between QuantizeLinear and DequantizeLinear.

    Attributes:
        values: names of the floating-point values, in the order in which the file computes them.
        producers, consumers: the nodes that compute and read each value.

    Raises:
        GateError: not a valid ONNX file.
    """

    def __init__(self, data: bytes) -> None:
        self._model, types = load_typed(data)
        graph = self._model.graph
        self.producers, self.consumers = producers(graph), consumers(graph)
        self.values = [value for value in self.producers if types.get(value) in _BYTES]
        self._sizes = {
            value.name: _BYTES.get(value.type.tensor_type.elem_type, 8)
            * math.prod(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
            for value in [*graph.value_info, *graph.output]
        }
        self._input = graph.input[0].name

    def groups(self, values: Sequence[str]) -> list[list[str]]:
        """Split the values, in their order, into groups that fit into memory for one image."""
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
        """Compute the named values for one image after another, uint8 `[n, size, size, 3]`.

        Raises:
            UnavailableError: onnxruntime is not installed, or has no kernel for one of the nodes.
        """
        session = unoptimized_session(self._model, values)
        for index in range(len(images)):
            yield dict(zip(values, session.run(list(values), {self._input: images[index : index + 1]}), strict=True))


def largest_values(data: bytes, images: np.ndarray) -> dict[str, float]:
    """The largest absolute value of each intermediate value over the images; infinite where one is not finite.

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
