"""Finds the first value in which two ONNX files of the same student differ."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from exporters.core.errors import UsageError
from exporters.onnx.graph import node_name
from exporters.onnx.intermediates import Intermediates

_CLAMPS = {"Clip", "Relu"}  # quantizers drop them where the range of the value already clamps it


@dataclass(frozen=True)
class Agreement:
    """A value on which both files agree, and its scaled error."""

    tensor: str
    scaled_error: float


@dataclass(frozen=True)
class Deviation:
    """The first value that differs, in the order of the reference's nodes.

    Args:
        node, operator: the node of the reference that computes it.
        tensor: its name in the reference.
        compared: its name in the candidate: the output of its DequantizeLinear where it is quantized.
        scaled_error: the largest difference over all images, divided by the largest absolute value of the reference;
            infinite where only the candidate is not finite.
        non_finite: the candidate has NaN or infinity where the reference has a number.
        before: the last value before it that could be compared, and agrees; None if there is none.
        unmatched: nodes of the reference between the two that have no counterpart, such as a dropped normalization.
        runs: how often an image was run through each of the two files.
    """

    node: str
    operator: str
    tensor: str
    compared: str
    scaled_error: float
    non_finite: bool
    before: Agreement | None
    unmatched: tuple[str, ...]
    runs: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for `parity.json`; an infinite error is null."""
        error = self.scaled_error if math.isfinite(self.scaled_error) else None
        return {**asdict(self), "scaled_error": error, "unmatched": list(self.unmatched)}


def first_deviation(reference: bytes, candidate: bytes, images: np.ndarray, *, bound: float) -> Deviation | None:
    """Find the first node whose output differs by more than `bound` of its own scale.

    Values are matched by name and compared in the order of the reference, image by image, as many at a time as fit
    into half a gigabyte: one run per image as a rule. This also finds a deviation after which a later value agrees
    again, which bisection would miss.

    Args:
        reference, candidate: bytes of two ONNX files of the same student. For an fp16 candidate pass its emulation
            (`exporters.fp16.convert.emulate_fp16`), which rounds as a device with fp16 kernels does.
        images: uint8 `[n, size, size, 3]`, n of 1 or more.
        bound: above 0.

    Returns:
        None if every value that both files have agrees.

    Raises:
        UsageError: no images, or files with no value in common.
        GateError: not a valid ONNX file.
        UnavailableError: ONNX Runtime cannot run one of the files.
    """
    if len(images) == 0:
        raise UsageError("no images to compare on")
    first, second = Intermediates(reference), Intermediates(candidate)
    partners = _partners(first, second)
    if not partners:
        raise UsageError("the two models have no value in common")
    before: Agreement | None = None
    runs, compared = 0, False
    for group in first.groups(list(partners)):
        meters = {value: _Difference() for value in group}
        theirs = list(dict.fromkeys(partners[value] for value in group))
        for own, other in zip(first.run(group, images), second.run(theirs, images), strict=True):
            runs += 1
            for value, meter in meters.items():
                meter.add(own[value], other[partners[value]])
        for value, meter in meters.items():
            if meter.shapes_differ:
                continue
            compared = True
            if meter.scaled_error <= bound:
                before = Agreement(value, meter.scaled_error)
                continue
            node = first.producers[value]
            start = first.values.index(before.tensor) + 1 if before else 0
            between = first.values[start : first.values.index(value)]
            return Deviation(
                node=node_name(node),
                operator=node.op_type,
                tensor=value,
                compared=partners[value],
                scaled_error=meter.scaled_error,
                non_finite=meter.non_finite,
                before=before,
                unmatched=tuple(dict.fromkeys(node_name(first.producers[name]) for name in between)),
                runs=runs,
            )
    if not compared:
        raise UsageError("the two models have no value of the same shape in common")
    return None


class _Difference:
    """Largest difference and largest absolute reference value of one tensor so far."""

    def __init__(self) -> None:
        self._error = self._scale = 0.0
        self.non_finite = self.shapes_differ = False

    def add(self, reference: np.ndarray, candidate: np.ndarray) -> None:
        if reference.shape != candidate.shape:
            self.shapes_differ = True
            return
        a: np.ndarray = reference.astype(np.float64)
        b: np.ndarray = candidate.astype(np.float64)
        finite = np.isfinite(a)  # a masked value, such as -inf, has no scale
        self.non_finite |= bool(np.any(finite & ~np.isfinite(b)))
        both = finite & np.isfinite(b)
        self._error = max(self._error, float(np.abs(a[both] - b[both]).max(initial=0)))
        self._scale = max(self._scale, float(np.abs(a[finite]).max(initial=0)))

    @property
    def scaled_error(self) -> float:
        return math.inf if self.non_finite else self._error / (self._scale or 1.0)


def _partners(reference: Intermediates, candidate: Intermediates) -> dict[str, str]:
    """The reference's values in order, each with its name in the candidate."""
    known = set(candidate.values)
    result: dict[str, str] = {}
    for value in reference.values:
        if value not in known:
            continue
        dequantized = _dequantized(candidate, value)
        own = value
        users = reference.consumers.get(value, [])
        if dequantized and len(users) == 1 and users[0].op_type in _CLAMPS and users[0].output[0] not in known:
            own = users[0].output[0]
        result[own] = dequantized or value
    return {value: result[value] for value in reference.values if value in result}


def _dequantized(candidate: Intermediates, value: str) -> str | None:
    """The value after it was quantized and dequantized; None where the candidate does not quantize it."""
    for quantize in candidate.consumers.get(value, []):
        if quantize.op_type == "QuantizeLinear" and quantize.input[0] == value:
            for node in candidate.consumers.get(quantize.output[0], []):
                if node.op_type == "DequantizeLinear":
                    return node.output[0]
    return None
