"""A variant of an export: made, proved, and kept, left out or rejected."""

import itertools
from dataclasses import dataclass
from typing import Any

from exporters import lines
from exporters.command.fp32 import Fp32
from exporters.command.job import Job
from exporters.command.proof import check_description, prove_forms, with_resize
from exporters.command.request import GATES
from exporters.command.staging import Staging
from exporters.errors import GateError, UnavailableError
from exporters.files import write_bytes, write_json
from exporters.onnx.reader import read_onnx
from exporters.variants import VARIANTS, Variant, make_variant, prove_variant


@dataclass(frozen=True)
class Outcome:
    """What became of a variant.

    Args:
        status: `shipped`, `not useful`, `rejected` or `not made`.
        report: for `parity.json`.
        audit: for `audit.json`; None for what is not shipped.
        variant: the file for images of the student's size; None where none could be made.
    """

    status: str
    report: dict[str, Any]
    audit: dict[str, Any] | None = None
    variant: Variant | None = None

    @property
    def failed(self) -> bool:
        """Not what it had to be; one that is merely not faster has not failed."""
        return self.status in {"rejected", "not made"}


def export_variant(job: Job, fp32: Fp32, precision: str, staging: Staging) -> Outcome:
    """Search a variant, prove it, and write it where it belongs.

    Raises:
        UsageError: images that nothing can be calibrated on.
        UnavailableError: the provider is missing, or an image cannot be read.
    """
    kind, gate, keep = VARIANTS[precision], GATES[precision], job.request.keeps(precision)
    try:
        variant = _search(job, fp32, precision)
    except (GateError, UnavailableError) as error:
        job.say(f"{kind.file}: not made, {error.message}")
        told = {"file": kind.file, "passed": False, "status": "not made", "reason": error.message}
        return Outcome("not made", told)
    job.say(lines.made(variant))
    verdict = prove_variant(
        precision, variant.data, fp32.core, job.evidence, gate, job.few, provider=job.provider, keep_all=keep
    )
    if verdict.report is not None:
        job.say(lines.compared(kind.file, verdict.report.whole))
    about = {"file": kind.file, **job.about, "kept_float": variant.kept_float, "trials": variant.trials}
    report = {**about, **verdict.to_json()}
    status, audit, data = verdict.status, None, variant.data
    if status == "shipped":
        entries = variant.initializers
        if job.any_size:
            data = with_resize(variant.data, job.student.preprocessing)
            entries = kind.audit(data, fp32.shipped, fp32.entries)
        check_description(kind.file, data, job.student)
        forms, failures = prove_forms(job, kind.file, variant.data, data, precision, gate)
        report |= forms
        audit = {"file": kind.file, "initializers": entries, "operators": dict(read_onnx(data).operators)}
        if failures:
            status, audit = "rejected", None
            report |= {"passed": False, "failures": failures, "status": status, "reason": "; ".join(failures)}
    job.say(f"{kind.file}: {status}, {report['reason']}")
    if status == "shipped":
        write_bytes(staging.final / kind.file, data)
    elif status == "rejected":
        write_bytes(staging.rejected / kind.file, data)
        write_json(staging.rejected / f"{kind.file}.json", report)
    return Outcome(status, report, audit, variant)


def _search(job: Job, fp32: Fp32, precision: str) -> Variant:
    kind = VARIANTS[precision]
    job.say(f"{kind.file}: is made, judged on {len(job.images):,} images, and made again until its gate passes")
    tries = itertools.count(1)
    job.evidence.told = lambda result: job.say(f"  {lines.compared(f'try {next(tries)}', result)}")
    try:
        return make_variant(
            precision,
            fp32.core,
            fp32.core_entries,
            job.evidence,
            GATES[precision],
            job.few,
            provider=job.provider,
            calibration=job.calibration,
        )
    finally:
        job.evidence.told = None
