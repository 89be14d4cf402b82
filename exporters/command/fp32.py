"""`model.onnx`: exported, explained and proved; everything else is made of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.artifacts import lines
from exporters.audit import audit_export
from exporters.command.job import Job
from exporters.command.proof import check_description, prove_forms
from exporters.command.staging import MODEL
from exporters.core.progress import working
from exporters.onnx.export import export_onnx
from exporters.onnx.resizing import without_resize
from exporters.parity import DEFAULT_GATES
from exporters.runtimes import OnnxRuntime


@dataclass(frozen=True)
class Fp32:
    """The fp32 file.

    Args:
        shipped, entries: the file, and what `audit_export` gave for it.
        core, core_entries: the same behind its resizing, which takes uint8 `[batch, S, S, 3]`; where it does not
            resize, the file itself.
        operators: of `shipped`.
    """

    shipped: bytes
    entries: list[dict[str, Any]]
    core: bytes
    core_entries: list[dict[str, Any]]
    operators: dict[str, int]


def make_fp32(job: Job, folder: Path, opset: int, licence: str | None) -> Fp32:
    """Write `folder/model.onnx`, every tensor of it explained by the student's own parameters.

    Raises:
        GateError: a tensor that nothing explains, or a description that is not the student's.
        UsageError, UnavailableError: as `export_onnx`.
    """
    with working(f"{MODEL}: being converted"):
        exported = export_onnx(
            job.student,
            folder / MODEL,
            opset,
            licence=licence,
            probabilities=job.probabilities,
            any_size=job.any_size,
        )
    content = exported.path.read_bytes()
    with working(f"{MODEL}: every number is looked up in the student"):
        entries = audit_export(content, job.student)
    check_description(MODEL, content, job.student)
    job.say(
        f"{MODEL}: {exported.size / 1e6:.2f} MB, opset {opset}, IR {exported.ir_version}; {lines.traced(len(entries))}"
    )
    core, core_entries = content, entries
    if job.any_size:
        core = without_resize(content, job.student.preprocessing)
        core_entries = audit_export(core, job.student)
    return Fp32(content, entries, core, core_entries, exported.operators)


def prove_fp32(job: Job, fp32: Fp32) -> tuple[dict[str, Any], list[str]]:
    """Compare the file with the student on all images: (what `parity.json` holds, what is against it).

    Raises:
        UnavailableError: the provider is missing, or an image cannot be read.
    """
    gate = DEFAULT_GATES["fp32"]
    report = job.evidence.report(OnnxRuntime(fp32.core, job.provider), gate)
    job.say(lines.compared(MODEL, report.whole))
    accuracy, chance = report.whole.reference_accuracy, job.images.chance
    if accuracy is not None and chance is not None:
        for line in lines.accuracy_of_original(accuracy, report.whole.images, chance):
            job.say(line)
    if job.images.unlabelled is not None:
        job.say(f"accuracy is not compared: {job.images.unlabelled}")
    forms, failures = prove_forms(job, MODEL, fp32.core, fp32.shipped, "fp32", gate)
    failures = [*report.failures, *failures]
    told = report.to_json() | {"passed": not failures, "failures": failures}
    return {"file": MODEL, **job.about, **told, **forms}, failures
