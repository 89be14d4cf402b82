"""Proof that an fp16 file is the proved fp32 file, rounded."""

from collections.abc import Mapping, Sequence
from typing import Any

from exporters.audit.entries import TINY, TINY_INTEGERS, check_extras, explain_all, is_range
from exporters.audit.integers import check_small_integers
from exporters.core.errors import GateError, UsageError
from exporters.fp16.rounding import round_to_fp16
from exporters.onnx.reader import Tensor, read_onnx


def audit_fp16(data: bytes, base: bytes, base_entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Explain each tensor of an fp16 file by the fp32 file that it was made from.

    A tensor is explained if it is, bit for bit, a tensor of `base`, or one of its fp32 tensors rounded to nearest, ties
    to even; or a tiny constant (`TINY`, `TINY_INTEGERS`) or a range of integers.

    Args:
        data: bytes of the fp16 file.
        base: bytes of the proved fp32 file.
        base_entries: the entries that `audit_export` returned for it.

    Returns:
        One entry per tensor, in the order of the file: `name dtype dims sha256 origin`.

    Raises:
        GateError: a tensor that nothing explains, named with its shape; no normalisation; or parts that no student has.
        UsageError: entries of another file.
    """
    model, source = read_onnx(data), read_onnx(base)
    check_extras(model)
    check_small_integers(model)
    if [entry["sha256"] for entry in base_entries] != [tensor.sha256 for tensor in source.tensors]:
        raise UsageError("the fp32 file is not the one that the entries were made from")
    origins = [(tensor, str(entry["origin"])) for tensor, entry in zip(source.tensors, base_entries, strict=True)]
    remedy = "Export again from the student; nothing but the student may ship."
    entries = explain_all(model, lambda tensor: _origin(tensor, origins), remedy=remedy)
    found = {entry["origin"].removeprefix("fp16 of ") for entry in entries}
    lost = {origin for _, origin in origins if origin.startswith("preprocessing")} - found
    if lost:
        raise GateError(
            f"the exported model does not normalise as the student was trained: no {' and no '.join(sorted(lost))}"
        )
    return entries


def _origin(tensor: Tensor, origins: Sequence[tuple[Tensor, str]]) -> str | None:
    # Of several with the same values, the one of the same name; `sorted` keeps the order of the others.
    same_shape = [(source, origin) for source, origin in origins if source.dims == tensor.dims]
    for source, origin in sorted(same_shape, key=lambda pair: pair[0].name != tensor.name):
        if source.dtype == tensor.dtype and bytes(source.data) == bytes(tensor.data):
            return origin
        if tensor.dtype != "float16" or source.dtype != "float32":
            continue
        if round_to_fp16(source.array()).astype("<f2").tobytes() == bytes(tensor.data):
            return origin if origin == "constant" else f"fp16 of {origin}"
    value = tensor.array()
    if tensor.dtype in {"int64", "int32", "bool"}:
        return "constant" if value.size <= TINY_INTEGERS or is_range(value) else None
    return "constant" if value.size <= TINY else None
