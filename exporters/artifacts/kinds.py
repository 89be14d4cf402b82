"""The kinds of variants of the fp32 file. docs/architecture.md lists what a new kind needs beside its entry here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from exporters.bundle.manifest import MODEL
from exporters.runtimes import Provider

if TYPE_CHECKING:
    from exporters.quantize import Calibration, Target

Judge = Callable[[bytes], Sequence[str]]
"""The failures of a model at its gate; none where it passes."""


class Found(Protocol):
    """Result of a search: the best model, its nodes in fp32, how many models were judged, and the model's failures.

    `failures` is empty where the gate passed.
    """

    @property
    def data(self) -> bytes: ...  # noqa: D102

    @property
    def kept(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def trials(self) -> int: ...  # noqa: D102

    @property
    def failures(self) -> Sequence[str]: ...  # noqa: D102


@dataclass(frozen=True)
class SearchInputs:
    """Inputs of a search beside the fp32 model.

    Args:
        objections: the failures of a candidate at its gate.
        images: a few prepared images, uint8 `[n, S, S, 3]`, that guide the search.
        provider: where candidates are run.
        calibration: of training images; None for what needs none.
    """

    objections: Judge
    images: np.ndarray
    provider: Provider
    calibration: "Calibration | None"


@dataclass(frozen=True)
class VariantKind:
    """How one kind of variant is made.

    Args:
        file: its name in a bundle.
        precision: whose gate it must pass, a key of `GOLDEN_LIMITS`.
        search: from the fp32 model to the best candidate.
        audit: traces each tensor back to the fp32 file's, as `audit_fp16`.
        emulate: rewrites the file so that a CPU rounds as the target does; None where a CPU does so already.
        for_engine: made for TensorRT alone: its speed elsewhere means nothing.
    """

    file: str
    precision: str
    search: Callable[[bytes, SearchInputs], Found]
    audit: Callable[[bytes, bytes, Sequence[Mapping[str, Any]]], list[dict[str, Any]]]
    emulate: Callable[[bytes], bytes] | None = None
    for_engine: bool = False


def _search_fp16(model: bytes, inputs: SearchInputs) -> Found:
    from exporters.fp16.search import search_fp32_blocks

    on_cpu = inputs.provider == "cpu"
    return search_fp32_blocks(model, inputs.objections, images=inputs.images, emulate=on_cpu)


def _emulate_fp16(data: bytes) -> bytes:
    from exporters.fp16.convert import emulate_fp16

    return emulate_fp16(data)


def _search_int8(model: bytes, inputs: SearchInputs, target: "Target" = "cpu") -> Found:
    from exporters.quantize import search_float_layers

    assert inputs.calibration is not None
    return search_float_layers(model, inputs.calibration, inputs.objections, target=target)


def _audit_fp16(data: bytes, base: bytes, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    from exporters.audit.fp16 import audit_fp16

    return audit_fp16(data, base, entries)


def _audit_int8(data: bytes, base: bytes, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    from exporters.audit.int8 import audit_int8

    return audit_int8(data, base, entries)


VARIANT_KINDS = {
    "fp16": VariantKind("model.fp16.onnx", "fp16", _search_fp16, _audit_fp16, emulate=_emulate_fp16),
    "int8": VariantKind("model.int8.onnx", "int8", _search_int8, _audit_int8),
    "int8.trt": VariantKind(
        "model.int8.trt.onnx", "int8", partial(_search_int8, target="tensorrt"), _audit_int8, for_engine=True
    ),
}
"""By the middle of the file's name."""


def file_of(name: str) -> str:
    """The ONNX file of a variant, or of `fp32`."""
    return MODEL if name == "fp32" else VARIANT_KINDS[name].file


def precision_of(name: str) -> str:
    """The precision of a variant, or of `fp32`: a key of `GOLDEN_LIMITS`."""
    return name if name == "fp32" else VARIANT_KINDS[name].precision
