"""Proving artifacts: every file and engine against the student, image by image."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from exporters.artifacts import lines
from exporters.artifacts.context import ArtifactContext
from exporters.artifacts.decide import EngineVerdict, VariantVerdict, after_source, decide, with_figures
from exporters.artifacts.engines import MadeEngine
from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.artifacts.status import Status
from exporters.artifacts.variants import GUIDING_IMAGES, Variant
from exporters.benchmark import is_useful, measure
from exporters.bundle.golden import beyond_bundle, cam_beyond_bundle
from exporters.bundle.manifest import ENGINES, MODEL, variant_of
from exporters.core.errors import GateError, UnavailableError
from exporters.core.files import sha256_bytes
from exporters.core.interrupts import interrupts_kept
from exporters.core.progress import working
from exporters.onnx.deviation import first_deviation
from exporters.parity import Evidence, ParityGate, ParityReport, judge, judge_maps
from exporters.runtimes import Explained, OnnxRuntime, Provider
from exporters.tensorrt.sidecar import check_fresh, sidecar_path

_DEVIATION_BOUND = 0.1  # where the gate asks for agreement alone


@dataclass(frozen=True)
class Verdicts:
    """What ships: variants by name, engines by precision."""

    variants: dict[str, VariantVerdict]
    engines: dict[str, EngineVerdict]


def prove_artifacts(
    variants: Mapping[str, Variant], engines: Mapping[str, MadeEngine], folder: Path, context: ArtifactContext
) -> Verdicts:
    """Judge each variant on all images, then each engine whose ONNX file was not rejected.

    Args:
        variants, engines: as `make_variants` and `make_engines` gave them.
        folder: holds `model.onnx` and the sources of engines, and the engines in its subfolder `engines`.

    Raises:
        GateError: an engine that is damaged, or was built from another file; nothing of it was loaded.
        UnavailableError: the provider is missing.
    """
    model = (folder / MODEL).read_bytes()
    verdicts: dict[str, VariantVerdict] = {}
    for name, variant in variants.items():
        if variant.not_made:
            verdicts[name] = VariantVerdict(Status.NOT_MADE, variant.not_made)
            continue
        proof = prove_variant(
            name,
            variant.data,
            model,
            context.evidence,
            context.gate(name),
            context.images,
            provider=context.provider,
            keep_all=context.keeps(name),
            for_engine=name not in context.requested,
        )
        verdict = verdicts[name] = with_figures(proof, variant.all_in_8_bits)
        if verdict.report is not None:
            context.say(lines.compared(variant.file, verdict.report.whole, context.images_name))
    proved = {}
    for precision, engine in engines.items():
        decided = after_source(engine, verdicts.get(variant_of(engine.source)))
        proved[precision] = decided or prove_engine(
            engine, folder / ENGINES, folder / engine.source, context.evidence, context.gates[precision]
        )
    return Verdicts(decide(verdicts, proved), proved)


@interrupts_kept()
def prove_fp32(model: bytes, context: ArtifactContext) -> tuple[ParityReport, str]:
    """Compare the fp32 file with the student on all images: (the report, why it must not ship).

    The latter is empty where it may.

    Args:
        model: takes uint8 `[batch, S, S, 3]`.

    Raises:
        UnavailableError: the provider is missing, or an image cannot be read.
    """
    report = context.evidence.report(OnnxRuntime(model, context.provider), context.gates["fp32"])
    context.say(lines.compared(MODEL, report.whole, context.images_name))
    if not report.passed:
        return report, f"{MODEL} is not the student: {'; '.join(report.failures)}"
    beyond = _beyond_bundle("fp32", model, report, context.evidence, context.images)
    return report, "" if beyond is None else f"{MODEL} passes parity.fp32 and cannot ship: {beyond}"


def _beyond_bundle(
    precision: str, model: bytes, report: ParityReport, evidence: Evidence, images: np.ndarray
) -> str | None:
    """How far the file is beyond what a bundle may hold, whatever its gate allows; None where it is not."""
    served, told, logits = OnnxRuntime(model), report.to_json(), evidence.reference_logits(images)
    beyond = beyond_bundle(precision, told, served.predict, images, logits)
    if beyond is not None or not evidence.has_maps:
        return beyond
    expected = Explained(logits, evidence.reference_maps(images))
    return cam_beyond_bundle(precision, told, served.explain, images, expected)


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
) -> VariantVerdict:
    """Judge a variant on all images. If it fails, find the first node that deviates; if it passes, time it.

    What is for an engine alone is not timed; `exporters.artifacts.decide.settle` ships it with its engine.

    Args:
        name: a key of `VARIANT_KINDS`.
        data, model: the variant and the fp32 file that it was made of.
        images: uint8 `[n, S, S, 3]`, to time it on and to look for the deviation; a bundle's golden vectors.
        keep_all: ship also what is not faster than fp32, and what is for an engine without the engine.
        for_engine: made only as the source of an engine; always true where `VariantKind.for_engine` is.

    Raises:
        UnavailableError: the provider is missing.
    """
    try:
        runtime = OnnxRuntime(data, provider)
    except GateError as error:
        return VariantVerdict(Status.REJECTED, error.message)
    report = evidence.report(runtime, gate)
    kind = VARIANT_KINDS[name]
    emulate = kind.emulate
    if emulate is not None and provider == "cpu":
        rounded = OnnxRuntime(emulate(data))
        emulated = judge(evidence.compare(rounded), gate)
        emulated += judge_maps(evidence.compare_maps(rounded), gate) if evidence.has_maps else []
        failures = [f"as its target computes it: {failure}" for failure in emulated]
        report = replace(report, failures=[*report.failures, *failures])
    if report.passed:
        beyond = _beyond_bundle(kind.precision, data, report, evidence, images)
        report = replace(report, failures=[] if beyond is None else [beyond])
    if not report.passed:
        bound = gate.max_scaled_error or _DEVIATION_BOUND
        with working(f"{kind.file}: looking for the first node that deviates"):
            found = first_deviation(model, emulate(data) if emulate else data, images[:GUIDING_IMAGES], bound=bound)
        where = "no single node deviates by more than that" if found is None else f"first at {found.node}"
        return VariantVerdict(
            Status.REJECTED,
            f"{'; '.join(report.failures)} ({where})",
            report,
            deviation=None if found is None else found.to_json(),
        )
    if kind.for_engine or for_engine:
        if keep_all:
            return VariantVerdict(Status.SHIPPED, "passed, and all that passes was asked for", report)
        return VariantVerdict(Status.NOT_SHIPPED, "passed; it is only for the engine that is built from it", report)
    with working(f"{kind.file}: timed against fp32"):
        speed = measure({"fp32": OnnxRuntime(model, provider), name: runtime}, images)
    useful, reason = is_useful(speed["runtimes"][name], speed["runtimes"]["fp32"])
    if useful or keep_all:
        return VariantVerdict(Status.SHIPPED, reason, report, speed=speed)
    return VariantVerdict(Status.NOT_USEFUL, f"{reason}; `keep: all` ships it", report, speed=speed)


@interrupts_kept()
def prove_engine(engine: MadeEngine, folder: Path, model: Path, evidence: Evidence, gate: ParityGate) -> EngineVerdict:
    """Run an engine on a GPU on all images, and judge it as the ONNX file of its precision is judged.

    Args:
        engine: as `make_engines` gave it.
        folder: where its plan is.
        model: the ONNX file that it must have been built from.

    Raises:
        GateError: a damaged plan or sidecar, or an engine of another file; nothing of it was loaded.
    """
    from exporters.runtimes.tensorrt import TensorRTRuntime

    if engine.not_made:
        return EngineVerdict(engine, Status.NOT_MADE, engine.not_made)
    plan = folder / engine.file
    sidecar = check_fresh(plan, sidecar_path(plan), sha256_bytes(model.read_bytes()))
    try:
        runtime = TensorRTRuntime(plan, sidecar["plan"]["sha256"], sidecar["library"]["name"])
        report = evidence.report(runtime, gate)
    except UnavailableError as error:
        return EngineVerdict(engine, Status.UNPROVED, error.message)
    except GateError as error:  # it loads, and is no classifier of ours
        return EngineVerdict(engine, Status.REJECTED, error.message)
    if not report.passed:
        return EngineVerdict(engine, Status.REJECTED, "; ".join(report.failures), report, runtime.gpu)
    return EngineVerdict(engine, Status.SHIPPED, f"proved on {runtime.gpu}", report, runtime.gpu)
