import hashlib

import numpy as np
import pytest

from exporters.audit.entries import check_extras, explain_all, identity, is_range, transposed
from exporters.core.errors import GateError
from exporters.onnx.reader import OnnxFile, Tensor, read_onnx
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
    ("values", "expected"),
    [
        ([3, 5, 7], True),
        ([7, 7], True),
        ([7], True),
        ([[0, 1], [2, 3]], True),
        ([[0, 1], [0, 1]], False),
        ([1, 2, 4], False),
        ([True, False], False),
        ([True], False),
    ],
)
def test_range_has_equal_distances(values: list[object], expected: bool) -> None:
    assert is_range(np.array(values)) == expected


@pytest.mark.parametrize(("count", "more"), [(5, ""), (6, " and 1 more"), (8, " and 3 more")])
def test_first_five_of_many_are_named(count: int, more: str) -> None:
    model = OnnxFile(tensors=[Tensor(f"t{index}", "int8", (1,), b"\0", "initializer") for index in range(count)])
    with pytest.raises(GateError) as caught:
        explain_all(model, lambda tensor: None, remedy="Export again.")
    named = ", ".join(f"t{index} int8 [1]" for index in range(5))
    assert caught.value.message == f"the exported model holds what the student does not explain: {named}{more}"
    assert caught.value.remedy == "Export again."


def test_identity_is_all_that_follows_from_the_file() -> None:
    tensor = Tensor("w", "int8", (2, 1), b"\1\2", "initializer")
    digest = hashlib.sha256(b"\1\2").hexdigest()
    assert identity(tensor) == {"name": "w", "dtype": "int8", "dims": [2, 1], "sha256": digest}


def test_parts_that_no_student_has_are_named() -> None:
    check_extras(OnnxFile())
    with pytest.raises(GateError, match=r"more than a student: a, b, c, d, e$"):
        check_extras(OnnxFile(extras=list("abcdef")))


def test_axes_of_weights_are_looked_at_in_each_order() -> None:
    value = np.arange(24).reshape(2, 3, 4)
    assert {form.shape for form in transposed(value)} == {
        (2, 3, 4), (2, 4, 3), (3, 2, 4), (3, 4, 2), (4, 2, 3), (4, 3, 2)
    }  # fmt: skip
    assert sum(1 for _ in transposed(value.reshape(2, 3, 2, 2))) == 24
    assert not list(transposed(value.reshape(-1))) and not list(transposed(value.reshape(2, 3, 2, 2, 1)))
