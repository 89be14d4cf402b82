"""What ships: verdicts on ONNX files and engines, once both are known."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from exporters.artifacts.engines import MadeEngine
from exporters.artifacts.kinds import file_of
from exporters.artifacts.status import Status
from exporters.bundle.manifest import ENGINE_SOURCES, variant_of
from exporters.core.errors import GateError, UnavailableError
from exporters.parity import ParityReport


@dataclass(frozen=True)
class VariantVerdict:
    """Whether an ONNX file ships, and why.

    Args:
        status: what becomes of it.
        reason: one sentence.
        report: the whole set, and a part of it at small batches; None where the file could not be run.
        deviation: for a rejected one, the first node that deviates; None where none does by itself.
        speed: how it compares with fp32; None for what was not timed.
        all_in_8_bits: figures of the int8 file without a layer in float, where only its other answers refuse it
            (`exporters.parity.agreement`); else None.
    """

    status: Status
    reason: str
    report: ParityReport | None = None
    deviation: dict[str, Any] | None = None
    speed: dict[str, Any] | None = None
    all_in_8_bits: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for `parity.json`."""
        verdict = {**_report(self.report, self.reason), "status": self.status, "reason": self.reason}
        if self.status is Status.NOT_MADE:
            return verdict
        figures = {} if self.all_in_8_bits is None else {"all_in_8_bits": self.all_in_8_bits}
        return {**verdict, "first_deviation": self.deviation, "speed": self.speed, **figures}


@dataclass(frozen=True)
class EngineVerdict:
    """Whether an engine ships, and why.

    Args:
        engine: as it was made.
        status: what becomes of it.
        reason: one sentence.
        report: the whole set, and a part of it at small batches; None where it did not run.
        gpu: what it ran on; None where it did not.
    """

    engine: MadeEngine
    status: Status
    reason: str
    report: ParityReport | None = None
    gpu: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for `parity.json`."""
        engine = {"file": self.engine.file, "source": self.engine.source}
        verdict = {"status": self.status, "reason": self.reason, "gpu": self.gpu}
        return {**_report(self.report, self.reason), **engine, **verdict}


def _report(report: ParityReport | None, reason: str) -> dict[str, Any]:
    return {"passed": False, "failures": [reason]} if report is None else report.to_json()


def after_source(engine: MadeEngine, source: VariantVerdict | None) -> EngineVerdict | None:
    """The verdict on an engine that its ONNX file decides: what is built from a rejected file is rejected, and not run.

    Args:
        source: the verdict on the file; None for fp32.
    """
    if source is None or source.status is not Status.REJECTED:
        return None
    return EngineVerdict(engine, Status.REJECTED, f"{engine.source}, which it is built from, was rejected")


def settle(source: VariantVerdict, engine: EngineVerdict | None) -> VariantVerdict:
    """The verdict on an ONNX file, once that on the engine built from it is known: a shipped engine takes it along."""
    if engine is None or source.status is Status.REJECTED:
        return source
    if engine.status is Status.SHIPPED:
        return replace(source, status=Status.SHIPPED, reason=f"{source.reason}; {engine.engine.file} ships with it")
    if source.status is Status.NOT_SHIPPED:
        return replace(source, reason=f"{source.reason}, which is {engine.status}")
    return source


def decide(variants: Mapping[str, VariantVerdict], engines: Mapping[str, EngineVerdict]) -> dict[str, VariantVerdict]:
    """The verdicts on the variants, by name, once those on the engines, by precision, are known."""
    built = {variant_of(ENGINE_SOURCES[precision]): verdict for precision, verdict in engines.items()}
    return {name: settle(verdict, built.get(name)) for name, verdict in variants.items()}


def with_figures(verdict: VariantVerdict, figures: Mapping[str, Any] | None) -> VariantVerdict:
    """The verdict, with what the file of all layers in 8 bits would have kept, where the file of the verdict stays.

    Args:
        figures: of that file, by `refused_by_agreement_alone`.
    """
    if figures is None or verdict.status not in {Status.REJECTED, Status.NOT_USEFUL}:
        return verdict
    return replace(verdict, reason=f"{verdict.reason}. {_sentence(figures)}", all_in_8_bits=dict(figures))


def _sentence(figures: Mapping[str, Any]) -> str:
    right, before, same = (
        100 * figures[key] for key in ("candidate_accuracy", "reference_accuracy", "top1_agreement")
    )  # fmt: skip
    return (
        f"With all layers in 8 bits the accuracy is {right:.2f} % (fp32: {before:.2f} %), which max_accuracy_drop"
        f" allows; {figures['differing']:,} of {figures['images']:,} answers differ (agreement {same:.2f} %), and"
        f" parity.int8.min_agreement, {figures['min_agreement']:g}, is all that refuses it: a recipe may lower it where"
        " accuracy alone counts"
    )


def shipped(verdicts: Mapping[str, VariantVerdict] | Mapping[str, EngineVerdict]) -> list[str]:
    """The keys of what ships."""
    return [name for name, verdict in verdicts.items() if verdict.status is Status.SHIPPED]


def unmet_variants(required: Collection[str], reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Why required variants did not pass; empty where all did. One that is merely not faster has passed.

    Args:
        reports: by name, entries of `parity.json`.
    """
    return "; ".join(
        f"{file_of(name)} must pass and did not: {report['reason']}"
        for name, report in reports.items()
        if name in required and report.get("status") in {Status.REJECTED, Status.NOT_MADE}
    )


def unmet_engines(verdicts: Iterable[EngineVerdict]) -> GateError | UnavailableError | None:
    """The error that ends an export which requires all of these engines; None where all ship."""
    verdicts = list(verdicts)
    for status, kind in (
        (Status.REJECTED, GateError),
        (Status.NOT_MADE, UnavailableError),
        (Status.UNPROVED, UnavailableError),
    ):
        for verdict in verdicts:
            if verdict.status is status:
                return kind(
                    f"{verdict.engine.file} must ship and is {status}: {verdict.reason}",
                    remedy="With `export.tensorrt.when: available` the rest ships.",
                )
    return None
