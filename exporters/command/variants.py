"""The variants of an export: made, proved, and kept, left out or rejected."""

import itertools
from dataclasses import dataclass
from typing import Any

from exporters.artifacts import lines
from exporters.artifacts.variants import VARIANTS, Variant, Verdict, make_variant, prove_variant
from exporters.command.fp32 import Fp32
from exporters.command.job import Job
from exporters.command.proof import check_description, prove_forms, with_resize
from exporters.command.staging import Staging
from exporters.core.files import write_bytes, write_json
from exporters.onnx.reader import read_onnx
from exporters.parity import DEFAULT_GATES


@dataclass(frozen=True)
class Candidate:
    """A variant that could be made, for images of the student's size, and the verdict on it."""

    variant: Variant
    verdict: Verdict


@dataclass(frozen=True)
class Outcome:
    """What became of a variant.

    Args:
        report: for `parity.json`.
        audit: for `audit.json`; None for what does not take a final name.
    """

    report: dict[str, Any]
    audit: dict[str, Any] | None = None

    @property
    def failed(self) -> bool:
        """Not what it had to be; one that is merely not faster has not failed."""
        return self.report["status"] in {"rejected", "not made"}


def not_made(name: str, reason: str) -> Outcome:
    """What is told of a variant that could not be made."""
    told = {"passed": False, "failures": [reason], "status": "not made", "reason": reason}
    return Outcome({"file": VARIANTS[name].file, **told})


def make_and_prove(job: Job, fp32: Fp32, name: str) -> Candidate:
    """Search a variant of the fp32 file behind its resizing, and prove what was found.

    Raises:
        GateError, UnavailableError: it cannot be made.
        UsageError: images that nothing can be calibrated on.
    """
    kind, request = VARIANTS[name], job.request
    gate = DEFAULT_GATES[kind.precision]
    job.say(f"{kind.file}: searched until its gate passes, on {len(job.images):,} images")
    tries = itertools.count(1)
    job.evidence.on_result = lambda result: job.say(f"  {lines.compared(f'try {next(tries)}', result)}")
    try:
        variant = make_variant(
            name,
            fp32.core,
            fp32.core_entries,
            job.evidence,
            gate,
            job.few,
            provider=job.provider,
            calibration=job.calibration,
        )
    finally:
        job.evidence.on_result = None
    job.say(lines.made(variant))
    verdict = prove_variant(
        name,
        variant.data,
        fp32.core,
        job.evidence,
        gate,
        job.few,
        provider=job.provider,
        keep_all=request.keeps(name),
        for_engine=not request.asked(name),
    )
    if verdict.report is not None:
        job.say(lines.compared(kind.file, verdict.report.whole))
    return Candidate(variant, verdict)


def conclude(job: Job, fp32: Fp32, candidate: Candidate, staging: Staging) -> Outcome:
    """Give a variant that ships the forms that were asked for, prove these, and write it where it belongs.

    Raises:
        GateError: a form that is not the fp32 file's, or is described as another's.
    """
    variant, verdict = candidate.variant, candidate.verdict
    kind, data, entries = VARIANTS[variant.name], variant.data, variant.initializers
    about = {"file": variant.file, **job.about, "kept_float": variant.kept_float, "trials": variant.trials}
    report = {**about, **verdict.to_json()}
    if verdict.status == "shipped":
        if job.any_size:
            data = with_resize(data, job.student.preprocessing)
            entries = kind.audit(data, fp32.shipped, fp32.entries)
        check_description(variant.file, data, job.student)
        forms, failures = prove_forms(
            job, variant.file, variant.data, data, kind.precision, DEFAULT_GATES[kind.precision]
        )
        report |= forms
        if failures:
            report |= {"passed": False, "failures": failures, "status": "rejected", "reason": "; ".join(failures)}
    status = report["status"]
    job.say(f"{variant.file}: {status}, {report['reason']}")
    if status == "rejected":
        write_bytes(staging.rejected / variant.file, data)
        write_json(staging.rejected / f"{variant.file}.json", report)
    if status != "shipped":
        return Outcome(report)
    write_bytes(staging.final / variant.file, data)
    operators = dict(read_onnx(data).operators)
    return Outcome(report, {"file": variant.file, "initializers": entries, "operators": operators})
