"""Shared by all audits: each tensor of a file gets an entry with its origin, or the file is refused."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from exporters.core.errors import GateError
from exporters.core.wording import first_of
from exporters.onnx.reader import OnnxFile, Tensor

TINY = 4
"""Floating-point constants of the architecture (a slope, an epsilon, a scale) have at most this many values."""

TINY_INTEGERS = 64
"""Integer constants (shapes, axes, pads) have at most this many values."""


def explain_all(
    model: OnnxFile, explain: Callable[[Tensor], str | None], *, remedy: str, called: str = "exported"
) -> list[dict[str, Any]]:
    """One entry per tensor, in the order of the file: `name dtype dims sha256 origin`.

    Args:
        explain: a tensor's origin as one line of text, or None.
        remedy: of the error.
        called: the model, in the error message.

    Raises:
        GateError: tensors that nothing explains, named with their shapes.
    """
    entries, unexplained = [], []
    for tensor in model.tensors:
        origin = explain(tensor)
        if origin is None:
            unexplained.append(f"{tensor.name} {tensor.dtype} {list(tensor.dims)}")
        else:
            entries.append({**identity(tensor), "origin": origin})
    if unexplained:
        raise GateError(
            f"the {called} model holds what the student does not explain: {first_of(unexplained, 5)}",
            remedy=remedy,
        )
    return entries


def identity(tensor: Tensor) -> dict[str, Any]:
    """The part of an entry that follows from the file alone."""
    return {"name": tensor.name, "dtype": tensor.dtype, "dims": list(tensor.dims), "sha256": tensor.sha256}


def check_extras(model: OnnxFile) -> None:
    """Refuse, by GateError, documentation, metadata and other parts that no student has."""
    if model.extras:
        raise GateError(f"the model holds more than a student: {', '.join(model.extras[:5])}")


def is_range(value: np.ndarray) -> bool:
    """Integers at equal distances, an index that holds no knowledge."""
    return value.dtype != np.bool_ and len(np.unique(np.diff(value.reshape(-1)))) <= 1


def transposed(value: np.ndarray) -> Iterator[np.ndarray]:
    """A tensor of 2 to 4 dimensions, those of a weight, with its axes in each order; nothing of others."""
    if 2 <= value.ndim <= 4:
        yield from (value.transpose(axes) for axes in itertools.permutations(range(value.ndim)))
