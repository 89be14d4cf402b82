"""Shapes and indices have room for themselves and for nothing else; attacks on a bundle are in `tests/exporters`."""

import numpy as np
import pytest

from exporters.audit.integers import check_indices, check_small_integers
from exporters.core.errors import GateError
from exporters.fp16.convert import to_fp16
from exporters.onnx.reader import Node, OnnxFile, Tensor, read_onnx
from tests.exporters.conftest import Exported


def tensor(name: str, values: np.ndarray) -> Tensor:
    return Tensor(name, str(values.dtype), values.shape, values.tobytes(), "initializer")


def network(*tensors: Tensor, weights: int = 0, nodes: int = 1, dequantized: str = "w") -> OnnxFile:
    layer = Node("layer", "DequantizeLinear", (dequantized, "s"), ("y",))
    weight = tensor("w", np.zeros(weights, np.int8))
    return OnnxFile(tensors=[weight, *tensors], operators={"DequantizeLinear": nodes}, nodes=[layer])


def shapes(values: int, dtype: type = np.int64) -> list[Tensor]:
    """So many values in tensors of 64 and fewer."""
    sizes = [64] * (values // 64) + [values % 64]
    return [tensor(f"t{index}", np.full(size, 3, dtype)) for index, size in enumerate(sizes)]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.bool_])
def test_small_tensors_of_integers_are_bounded_together(dtype: type) -> None:
    check_small_integers(network(*shapes(2**8 + 2 * 10, dtype), nodes=10))
    with pytest.raises(GateError, match="277 integers in small tensors are more than 10 operators of a student need"):
        check_small_integers(network(*shapes(2**8 + 2 * 10 + 1, dtype), nodes=10))


def test_students_pass(cifar: Exported, shufflenet: Exported) -> None:
    for data in (cifar.data, shufflenet.data, to_fp16(cifar.data)):
        check_small_integers(read_onnx(data))
        check_indices(read_onnx(data))


def test_zero_points_of_biases_are_no_shapes() -> None:
    """A deep int8 network has one of each for every layer, of as many zeros as channels."""
    check_small_integers(network(*(tensor(f"z{index}", np.zeros(64, np.int32)) for index in range(100))))


def pattern(values: int, largest: int = 2**16 - 1) -> Tensor:
    index = np.arange(values) % 7
    index[-1] = largest
    return tensor("index", index)


def test_indices_are_bounded_by_the_weights_beside_them() -> None:
    check_indices(network(pattern(2**14 + 25), weights=100))
    with pytest.raises(GateError, match="16,410 integers that are no ranges are more than a student of 100 values"):
        check_indices(network(pattern(2**14 + 26), weights=100))


@pytest.mark.parametrize("value", [-1, 2**16, 2**40])
def test_values_that_are_no_indices_are_refused(value: int) -> None:
    with pytest.raises(GateError, match="index: not all of its 65 integers are indices"):
        check_indices(network(pattern(65, value)))
    check_indices(network(pattern(64, value)))  # a small tensor may hold an axis or the end of a slice


def test_ranges_and_biases_of_int8_are_no_indices() -> None:
    bias = tensor("b", np.random.default_rng(0).integers(-(2**31), 2**31, 20_000).astype(np.int32))
    check_indices(network(tensor("r", np.arange(-10, 100_000)), bias, dequantized="b"))
    check_small_integers(network(*shapes(64)[:1], tensor("b", np.arange(2**9)), dequantized="b"))
    with pytest.raises(GateError, match="b: not all of its 20,000 integers are indices"):
        check_indices(network(bias))
