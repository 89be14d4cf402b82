"""Export one checkpoint and prove what was made, without the rest of a pipeline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from exporters.checkpoint import Checkpoint
from exporters.command.fp32 import make_fp32, prove_fp32
from exporters.command.images import ImageFolder, ProofImages
from exporters.command.job import Job
from exporters.command.request import VariantRequest
from exporters.command.staging import AUDIT, LABELS, MODEL, PARITY, PREPROCESS, REJECTED, staged
from exporters.command.variants import export_variant
from exporters.errors import GateError
from exporters.files import write_json
from exporters.runtimes import Provider


def export_checkpoint(
    checkpoint: Checkpoint,
    out: Path,
    *,
    opset: int = 20,
    licence: str | None = None,
    probabilities: bool = False,
    any_size: bool = False,
    data: Path | None = None,
    variants: VariantRequest | None = None,
    provider: Provider = "cpu",
    say: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """Write `model.onnx`, its variants, `audit.json`, `preprocess.json`, `labels.json` and `parity.json` into `out`.

    Files of these names from an earlier export are removed first; nothing takes a final name before all has passed.
    What failed lies in `out/rejected`, with its report.

    Args:
        checkpoint: what is exported.
        out: a folder, made where it is missing; other files in it are left alone.
        opset, licence, probabilities, any_size: as `exporters.onnx.export.export_onnx` takes them.
        data: images to prove it on, preferably what the classifier is for; None: images that are drawn, which proves
            less, since logits on noise are of another scale and hardly ever near a tie.
        variants: what is made beside fp32; None: nothing.
        provider: where ONNX Runtime runs the files.
        say: told each result as one line.

    Returns:
        What `parity.json` holds: the proof of each file, by precision.

    Raises:
        GateError: fp32 is not the student, or a required variant failed.
        UsageError, UnavailableError: as `export_onnx` and `VariantRequest`; no images, or one that cannot be read; a
            provider that is missing.
    """
    student, request = checkpoint.student, variants or VariantRequest()
    images = ProofImages(None if data is None else ImageFolder(data), student.labels, student.preprocessing)
    calibration = request.calibrate_on(images, student.preprocessing)
    job = Job(student, images, request, calibration, provider, any_size, probabilities, say)
    for note in checkpoint.notes:
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
        if data is None:
            say("these images were drawn, which proves less than images of your own: give some with --data")
        audits = {"fp32": {"file": MODEL, "initializers": fp32.entries, "operators": fp32.operators}}
        outcomes = {precision: export_variant(job, fp32, precision, staging) for precision in request.made}
        reports |= {precision: outcome.report for precision, outcome in outcomes.items()}
        audits |= {precision: outcome.audit for precision, outcome in outcomes.items() if outcome.audit is not None}
        failed = [precision for precision in request.required if precision in outcomes and outcomes[precision].failed]
        if failed:
            write_json(staging.rejected / PARITY, reports)
            raise GateError(
                "; ".join(
                    f"{reports[name]['file']} must pass and did not: {reports[name]['reason']}" for name in failed
                ),
                remedy=f"{out / REJECTED} holds the reports and what was made; without --require the rest is kept.",
            )
        write_json(staging.final / AUDIT, audits)
        write_json(staging.final / PREPROCESS, student.preprocessing.to_json())
        write_json(staging.final / LABELS, student.labels)
        write_json(staging.final / PARITY, reports)
    return reports
