import numpy as np
import pytest

from exporters.audit.entries import explain_all, is_range
from exporters.core.errors import GateError
from exporters.onnx.reader import read_onnx
from tests.exporters.onnx.planting import chain

DATA = chain([np.eye(3, 4)])


def test_each_tensor_has_an_entry_with_its_origin() -> None:
    model = read_onnx(DATA)
    entries = explain_all(model, lambda tensor: f"from {tensor.name}", remedy="None.")
    assert [entry["origin"] for entry in entries] == [f"from {tensor.name}" for tensor in model.tensors]
    assert entries[-1]["dims"] == [3, 4] and entries[-1]["sha256"] == model.tensors[-1].sha256


def test_tensor_without_an_origin_is_named() -> None:
    with pytest.raises(GateError, match=r"the int8 model holds .*weight0 float32 \[3, 4\]\n.*Export again"):
        explain_all(
            read_onnx(DATA),
            lambda tensor: None if tensor.name == "weight0" else "constant",
            remedy="Export again.",
            called="int8",
        )


@pytest.mark.parametrize(
    ("values", "expected"), [([3, 5, 7], True), ([7, 7], True), ([1, 2, 4], False), ([True, False], False)]
)
def test_range_has_equal_distances(values: list[int], expected: bool) -> None:
    assert is_range(np.array(values)) == expected
