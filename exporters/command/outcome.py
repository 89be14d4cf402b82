"""What becomes of the variants and engines of an export: reported, and put where they belong."""

from dataclasses import dataclass
from typing import Any

from exporters.artifacts.decide import EngineVerdict, VariantVerdict
from exporters.artifacts.fp32 import Fp32, check_metadata
from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.artifacts.placing import copy_engine, set_aside
from exporters.artifacts.status import Status
from exporters.artifacts.variants import Variant
from exporters.bundle.manifest import ENGINES
from exporters.command.proof import prove_forms, with_resize
from exporters.command.staging import UNPROVED, Staging
from exporters.command.task import ExportTask
from exporters.core.files import write_bytes
from exporters.onnx.reader import read_onnx


@dataclass(frozen=True)
class Outcome:
    """What became of a variant.

    Args:
        report: for `parity.json`.
        audit: for `audit.json`; None for what does not ship.
    """

    report: dict[str, Any]
    audit: dict[str, Any] | None = None


def conclude_variant(
    task: ExportTask, fp32: Fp32, variant: Variant, verdict: VariantVerdict, staging: Staging
) -> Outcome:
    """Give a variant that ships the forms that were asked for, prove these, and write it where it belongs.

    Raises:
        GateError: a form that the fp32 file does not explain, or whose metadata are not the student's.
    """
    if verdict.status is Status.NOT_MADE:
        return Outcome({"file": variant.file, **verdict.to_json()})
    kind, data, entries = VARIANT_KINDS[variant.name], variant.data, variant.initializers
    about = {"file": variant.file, **task.about, "kept_float": variant.kept_float, "trials": variant.trials}
    report = {**about, **verdict.to_json()}
    if verdict.status is Status.SHIPPED:
        if task.any_size:
            data = with_resize(data, task.student.preprocessing)
            entries = kind.audit(data, fp32.shipped, fp32.entries)
        check_metadata(variant.file, data, task.student)
        forms, failures = prove_forms(task, variant.file, variant.data, data, kind.precision)
        report |= forms
        if failures:
            report |= {
                "passed": False, "failures": failures, "status": Status.REJECTED, "reason": "; ".join(failures),
            }  # fmt: skip
    status = report["status"]
    task.say(f"{variant.file}: {status}, {report['reason']}")
    if status is Status.REJECTED:
        set_aside(staging.rejected, variant.file, data, report)
    if status is not Status.SHIPPED:
        return Outcome(report)
    write_bytes(staging.final / variant.file, data)
    operators = dict(read_onnx(data).operators)
    return Outcome(report, {"file": variant.file, "initializers": entries, "operators": operators})


def conclude_engine(task: ExportTask, verdict: EngineVerdict, staging: Staging) -> None:
    """Report what becomes of an engine, and put it where it belongs."""
    unproved = verdict.status is Status.UNPROVED
    where = f"; {UNPROVED}/ holds it, and nothing may serve it before it ran on its GPU" if unproved else ""
    task.say(f"{verdict.engine.file}: {verdict.status}, {verdict.reason}{where}")
    places = {
        Status.SHIPPED: staging.final / ENGINES,
        Status.REJECTED: staging.rejected,
        Status.UNPROVED: staging.unproved,
    }
    if verdict.status in places:
        copy_engine(verdict, staging.work / ENGINES, places[verdict.status])
