"""Variants of the proved fp32 file: made by a search that stops when the gate passes, proved again, kept or rejected.

A new kind of variant is one entry of `VARIANTS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from exporters.benchmark import is_useful, measure
from exporters.bundle.golden import beyond_bundle
from exporters.core.errors import GateError
from exporters.core.interrupts import interrupts_kept
from exporters.core.progress import working
from exporters.onnx.deviation import first_deviation
from exporters.onnx.reader import read_onnx
from exporters.parity import Evidence, ParityGate, ParityReport, judge
from exporters.runtimes import OnnxRuntime, Provider

if TYPE_CHECKING:
    from exporters.quantize import Calibration, Target

Judge = Callable[[bytes], Sequence[str]]
"""What the gate has against a model; an empty sequence passes."""

_GUIDING_IMAGES = 8
_DEVIATION_BOUND = 0.1  # where the gate asks for agreement alone


class Found(Protocol):
    """What a search gives: the best model, its nodes left in fp32, how many models were judged, and what is against it.

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
class Terms:
    """What a search has to go by.

    Args:
        objections: what the gate has against a model.
        images: a few prepared images, uint8 `[n, S, S, 3]`, that guide it.
        provider: where the models are judged.
        calibration: of training images; None for what needs none.
    """

    objections: Judge
    images: np.ndarray
    provider: Provider
    calibration: "Calibration | None"


@dataclass(frozen=True)
class VariantKind:
    """How one kind is made.

    Args:
        file: its name in a bundle.
        precision: whose gate it must pass, a key of `GOLDEN_LIMITS`.
        search: from the fp32 model to what was found.
        audit: explains each tensor by the fp32 file's, as `audit_fp16`.
        emulate: from the file to one that computes on a CPU what its target would, where a CPU shows less.
        for_engine: made for TensorRT alone: how fast others are with it says nothing.
    """

    file: str
    precision: str
    search: Callable[[bytes, Terms], Found]
    audit: Callable[[bytes, bytes, Sequence[Mapping[str, Any]]], list[dict[str, Any]]]
    emulate: Callable[[bytes], bytes] | None = None
    for_engine: bool = False


def _search_fp16(model: bytes, terms: Terms) -> Found:
    from exporters.fp16.search import search_fp32_blocks

    on_cpu = terms.provider == "cpu"
    return search_fp32_blocks(model, terms.objections, images=terms.images, emulate=on_cpu)


def _emulate_fp16(data: bytes) -> bytes:
    from exporters.fp16.convert import emulate_fp16

    return emulate_fp16(data)


def _search_int8(model: bytes, terms: Terms, target: "Target" = "cpu") -> Found:
    from exporters.quantize import search_float_layers

    assert terms.calibration is not None
    return search_float_layers(model, terms.calibration, terms.objections, target=target)


def _audit_fp16(data: bytes, base: bytes, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    from exporters.audit.fp16 import audit_fp16

    return audit_fp16(data, base, entries)


def _audit_int8(data: bytes, base: bytes, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    from exporters.audit.int8 import audit_int8

    return audit_int8(data, base, entries)


VARIANTS = {
    "fp16": VariantKind("model.fp16.onnx", "fp16", _search_fp16, _audit_fp16, emulate=_emulate_fp16),
    "int8": VariantKind("model.int8.onnx", "int8", _search_int8, _audit_int8),
    "int8.trt": VariantKind(
        "model.int8.trt.onnx", "int8", partial(_search_int8, target="tensorrt"), _audit_int8, for_engine=True
    ),
}
"""By what stands in the middle of the file's name."""


@dataclass(frozen=True)
class Variant:
    """A candidate, not yet proved.

    Args:
        name: a key of `VARIANTS`.
        data: the ONNX file.
        initializers, operators: as `audit_export` and the manifest have them.
        kept_float: nodes that stay in fp32 because the gate needs them so.
        trials: models that the search judged.
    """

    name: str
    data: bytes
    initializers: list[dict[str, Any]]
    operators: dict[str, int]
    kept_float: list[str]
    trials: int

    @property
    def file(self) -> str:
        """Its name in a bundle."""
        return VARIANTS[self.name].file

    def to_json(self) -> dict[str, Any]:
        """All but the file itself."""
        return {
            "file": self.file,
            "kept_float": self.kept_float,
            "trials": self.trials,
            "initializers": self.initializers,
            "operators": self.operators,
        }


@interrupts_kept()
def make_variant(
    name: str,
    model: bytes,
    initializers: Sequence[Mapping[str, Any]],
    evidence: Evidence,
    gate: ParityGate,
    images: np.ndarray,
    *,
    provider: Provider = "cpu",
    calibration: "Calibration | None" = None,
) -> Variant:
    """Search the variant with the fewest layers in fp32 that passes; where none does, the best one, for the report.

    Args:
        name: a key of `VARIANTS`.
        model, initializers: the fp32 file and what `audit_export` gave for it.
        evidence: the images that the search judges on, all of them at the largest batch.
        images: a few prepared images, uint8 `[n, S, S, 3]`, that guide the search.
        provider: where it is run.
        calibration: of training images; for int8. Given for both kinds of int8, it measures once.

    Raises:
        GateError: a tensor of the variant that the fp32 file does not explain.
        UnavailableError: the provider is missing.
    """
    kind = VARIANTS[name]

    def objections(data: bytes) -> Sequence[str]:
        try:
            return evidence.failures(OnnxRuntime(data, provider), gate)
        except GateError as error:  # it does not even load
            return [error.message]

    with working(kind.file):
        found = kind.search(model, Terms(objections, images[:_GUIDING_IMAGES], provider, calibration))
        entries = kind.audit(found.data, model, initializers)
    return Variant(name, found.data, entries, dict(read_onnx(found.data).operators), list(found.kept), found.trials)


@dataclass(frozen=True)
class Verdict:
    """Whether a variant ships, and why.

    Args:
        status: `shipped`, `rejected` (parity failed), `not useful` (not faster than fp32 here), or `not shipped`: it
            passed, and is only for the engine that is built from it.
        reason: one sentence.
        report: the whole set, and a part of it at small batches; None where the file could not be run.
        deviation: for a rejected one, the first node that deviates; None where none does by itself.
        speed: how it compares with fp32; None for what was not timed.
    """

    status: str
    reason: str
    report: ParityReport | None = None
    deviation: dict[str, Any] | None = None
    speed: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for `parity.json`."""
        report = {"passed": False, "failures": [self.reason]} if self.report is None else self.report.to_json()
        return {
            **report,
            "status": self.status,
            "reason": self.reason,
            "first_deviation": self.deviation,
            "speed": self.speed,
        }


@interrupts_kept()
def prove_variant(
    name: str,
    data: bytes,
    model: bytes,
    evidence: Evidence,
    gate: ParityGate,
    images: np.ndarray,
    *,
    provider: Provider = "cpu",
    keep_all: bool = False,
    for_engine: bool = False,
) -> Verdict:
    """Judge a variant on all images; where it fails find the first node that deviates, where it passes time it.

    What is for an engine alone is not timed; `exporters.artifacts.engines.settle` ships it with its engine.

    Args:
        name: a key of `VARIANTS`.
        data, model: the variant and the fp32 file that it was made of.
        images: uint8 `[n, S, S, 3]`, to time it on and to look for the deviation; a bundle's golden vectors.
        keep_all: ship also what is not faster than fp32, and what is for an engine without the engine.
        for_engine: it was asked for only because an engine is built from it; always so of a kind that says so.

    Raises:
        UnavailableError: the provider is missing.
    """
    try:
        runtime = OnnxRuntime(data, provider)
    except GateError as error:
        return Verdict("rejected", error.message)
    report = evidence.report(runtime, gate)
    kind = VARIANTS[name]
    emulate = kind.emulate
    if emulate is not None and provider == "cpu":
        found_there = judge(evidence.compare(OnnxRuntime(emulate(data))), gate)
        told = [f"as its target computes it: {failure}" for failure in found_there]
        report = replace(report, failures=[*report.failures, *told])
    if report.passed:
        served = OnnxRuntime(data).predict
        beyond = beyond_bundle(kind.precision, report.to_json(), served, images, evidence.reference_logits(images))
        report = replace(report, failures=[] if beyond is None else [beyond])
    if not report.passed:
        bound = gate.max_scaled_error or _DEVIATION_BOUND
        found = first_deviation(model, emulate(data) if emulate else data, images[:_GUIDING_IMAGES], bound=bound)
        where = "no single node deviates by more than that" if found is None else f"first at {found.node}"
        return Verdict(
            "rejected",
            f"{'; '.join(report.failures)} ({where})",
            report,
            deviation=None if found is None else found.to_json(),
        )
    if kind.for_engine or for_engine:
        if keep_all:
            return Verdict("shipped", "passed, and all that passes was asked for", report)
        return Verdict("not shipped", "passed; it is only for the engine that is built from it", report)
    with working(f"{kind.file}: timed against fp32"):
        speed = measure({"fp32": OnnxRuntime(model, provider), name: runtime}, images)
    useful, reason = is_useful(speed["runtimes"][name], speed["runtimes"]["fp32"])
    if useful or keep_all:
        return Verdict("shipped", reason, report, speed=speed)
    return Verdict("not useful", f"{reason}; `keep: all` ships it", report, speed=speed)
