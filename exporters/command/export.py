"""Export one checkpoint and prove what was made, without the rest of a pipeline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from exporters.artifacts.variants import VARIANTS
from exporters.command.bundle import check_bundle, pack_bundle
from exporters.command.engines import check_engines, export_engines
from exporters.command.fp32 import Fp32, make_fp32, prove_fp32
from exporters.command.images import ImageFolder, ProofImages
from exporters.command.job import Job
from exporters.command.mapping import prove_mapping
from exporters.command.request import ExportRequest
from exporters.command.staging import AUDIT, LABELS, MODEL, PARITY, PREPROCESS, REJECTED, Staging, staged
from exporters.command.variants import Candidate, Outcome, conclude, make_and_prove, not_made
from exporters.core.errors import GateError, UnavailableError
from exporters.core.files import write_json
from exporters.core.licences import check_licence
from exporters.runtimes import Provider
from exporters.student.checkpoint import LoadedCheckpoint


def export_checkpoint(
    checkpoint: LoadedCheckpoint,
    out: Path,
    *,
    opset: int = 20,
    licence: str | None = None,
    probabilities: bool = False,
    any_size: bool = False,
    data: Path | None = None,
    request: ExportRequest | None = None,
    provider: Provider = "cpu",
    say: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """Write `model.onnx`, its variants, `audit.json`, `preprocess.json`, `labels.json` and `parity.json` into `out`.

    Engines go to `out/engines`. Files of these names from an earlier export are removed first; nothing takes a final
    name before all has passed. What failed lies in `out/rejected`, an engine that could not be run here in
    `out/unproved`, each with its report. A bundle goes to `out/bundle`, with its archive beside it.

    Args:
        checkpoint: what is exported.
        out: a folder, made where it is missing; other files in it are left alone.
        opset, licence, probabilities, any_size: as `exporters.onnx.export.export_onnx` takes them.
        data: images to prove it on, preferably what the classifier is for; None: images that are drawn, which proves
            less, since logits on noise are of another scale and hardly ever near a tie.
        request: what is made beside it; None: nothing.
        provider: where ONNX Runtime runs the files.
        say: told each result as one line.

    Returns:
        What `parity.json` holds: the proof of each file, by what stands in its name, and of `engines`, by precision.

    Raises:
        GateError: fp32 is not the student, what is required failed, or keys that were mapped by their order give no
            accuracy above chance.
        UsageError, UnavailableError: as `export_onnx`, `ExportRequest` and `check_engines`; a licence that SPDX does
            not know; no images, or one that cannot be read; a provider that is missing; a required engine that could
            not be made or run.
    """
    student, request = checkpoint.student, request or ExportRequest()
    licence = None if licence is None else check_licence(licence)
    images = ProofImages(None if data is None else ImageFolder(data), student.labels, student.preprocessing)
    calibration = request.calibrate_on(images, student.preprocessing)
    job = Job(student, images, request, calibration, provider, any_size, probabilities, say)
    check_engines(job)
    check_bundle(job, out)
    of_calibration = [] if request.calibration_images is None else request.calibration_images.notes()
    for note in (*checkpoint.notes, *images.notes, *of_calibration):
        say(f"note: {note}")
    with staged(out) as staging:
        fp32 = make_fp32(job, staging.final, opset, licence)
        report, failures = prove_fp32(job, fp32)
        reports = {"fp32": report}
        if failures:
            write_json(staging.rejected / PARITY, reports)
            raise GateError(
                f"{MODEL} is not the student: {'; '.join(failures)}",
                remedy=f"{out / REJECTED / PARITY} names the worst images and the bounds that would have passed.",
            )
        try:
            prove_mapping(job, checkpoint.mapped, report)
        except GateError:
            write_json(staging.rejected / PARITY, reports)
            raise
        if data is None:
            say("random images were used, which prove less than images of your own: give some with --data")
        outcomes, engines = _beside(job, fp32, staging)
        reports |= {name: outcome.report for name, outcome in outcomes.items()}
        if engines:
            reports["engines"] = engines
        failed = [outcomes[name].report for name in request.required if name in outcomes and outcomes[name].failed]
        if failed:
            write_json(staging.rejected / PARITY, reports)
            raise GateError(
                "; ".join(f"{report['file']} must pass and did not: {report['reason']}" for report in failed),
                remedy=f"{out / REJECTED} holds the reports and what was made; without --require the rest is kept.",
            )
        audits = {"fp32": {"file": MODEL, "initializers": fp32.entries, "operators": fp32.operators}}
        audits |= {name: outcome.audit for name, outcome in outcomes.items() if outcome.audit is not None}
        write_json(staging.final / AUDIT, audits)
        write_json(staging.final / PREPROCESS, student.preprocessing.to_json())
        write_json(staging.final / LABELS, student.labels)
        write_json(staging.final / PARITY, reports)
        if request.bundle:
            pack_bundle(job, fp32, outcomes, reports, staging, licence=licence, notes=checkpoint.notes)
    return reports


def _beside(job: Job, fp32: Fp32, staging: Staging) -> tuple[dict[str, Outcome], dict[str, Any]]:
    """Make and prove each variant and each engine: (what became of the variants, reports of the engines)."""
    candidates: dict[str, Candidate] = {}
    outcomes: dict[str, Outcome] = {}
    for name in job.request.variants:
        try:
            candidates[name] = make_and_prove(job, fp32, name)
        except (GateError, UnavailableError) as error:
            outcomes[name] = not_made(name, error.message)
            job.say(f"{VARIANTS[name].file}: not made, {error.message}")
    engines: dict[str, Any] = {}
    if job.request.engines is not None:
        candidates, engines = export_engines(job, fp32, candidates, staging)
    outcomes |= {name: conclude(job, fp32, candidate, staging) for name, candidate in candidates.items()}
    return {name: outcomes[name] for name in job.request.variants}, engines
