"""Export one checkpoint and prove what was made, without the rest of a pipeline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporters.artifacts import lines
from exporters.artifacts.context import Say, silent
from exporters.artifacts.decide import unmet_engines, unmet_variants
from exporters.artifacts.engines import MadeEngine, make_engines
from exporters.artifacts.fp32 import Fp32, make_fp32
from exporters.artifacts.prove import prove_artifacts, prove_fp32
from exporters.artifacts.status import Status
from exporters.artifacts.variants import make_variants
from exporters.command.bundle import bundle_name, check_bundle, pack_bundle
from exporters.command.engines import OR_LESS, check_engines, tracked
from exporters.command.images import ImageFolder, ProofImages
from exporters.command.mapping import prove_mapping
from exporters.command.openvino import check_openvino, make_and_prove_irs
from exporters.command.outcome import Outcome, conclude_engine, conclude_variant
from exporters.command.proof import prove_forms
from exporters.command.request import ExportRequest
from exporters.command.staging import AUDIT, LABELS, MODEL, PARITY, PREPROCESS, REJECTED, Staging, staged
from exporters.command.task import ExportTask
from exporters.core.errors import GateError, UsageError
from exporters.core.files import write_bytes, write_json
from exporters.core.licences import check_licence
from exporters.core.temperature import check_temperature
from exporters.runtimes import Provider
from exporters.student.checkpoint import LoadedCheckpoint


def export_checkpoint(
    checkpoint: LoadedCheckpoint,
    out: Path,
    *,
    opset: int = 20,
    licence: str | None = None,
    probabilities: bool = False,
    temperature: float | None = None,
    any_size: bool = False,
    cam: bool = False,
    data: Path | None = None,
    request: ExportRequest | None = None,
    provider: Provider = "cpu",
    say: Say = silent,
) -> dict[str, Any]:
    """Write `model.onnx`, its variants, `audit.json`, `preprocess.json`, `labels.json` and `parity.json` into `out`.

    Engines go to `out/engines`, OpenVINO IR to `out/openvino`. Files of these names from an earlier export are removed
    first; nothing takes a final name before all has passed. What failed lies in `out/rejected`, an engine that could
    not be run here in `out/unproved`, each with its report. A bundle goes to `out/bundle`, with its archive beside it.

    Args:
        checkpoint: what is exported.
        out: a folder, made where it is missing; other files in it are left alone.
        opset, licence, probabilities, any_size: as `exporters.onnx.export.export_onnx` takes them.
        temperature: of the probabilities, in the graph and in the bundle; None: the run's own, where the checkpoint is
            a run directory whose probabilities are calibrated, else 1.
        cam: a further output, the class activation map of the most likely class.
        data: images to prove it on, preferably what the classifier is for; None: generated images, which prove less,
            since logits on noise are of another scale and hardly ever near a tie.
        request: what is made besides `model.onnx`; None: nothing.
        provider: where ONNX Runtime runs the files.
        say: given each result as one line.

    Returns:
        What `parity.json` holds: the proof of each file, by what stands in its name, and of `engines` and `openvino`,
        by precision.

    Raises:
        GateError: fp32 is not the student, what is required failed, or keys that were mapped by their order give no
            accuracy above chance; its `report` is the proofs.
        UsageError, UnavailableError: as `export_onnx`, `ExportRequest` and `check_engines`; a temperature that is out
            of bounds, or that nothing uses; a licence that SPDX does not know; no images, or one that cannot be read;
            a provider or OpenVINO that is missing; a required engine that could not be made or run.
    """
    student, request = checkpoint.student, request or ExportRequest()
    licence = None if licence is None else check_licence(licence)
    scaling = _scaling(checkpoint, temperature, used=probabilities or request.bundle)
    images = ProofImages(None if data is None else ImageFolder(data), student.labels, student.preprocessing)
    calibration = request.calibrate_on(images, student.preprocessing)
    task = ExportTask(student, images, request, calibration, provider, any_size, probabilities, say, cam, scaling)
    check_engines(task)
    check_openvino(task)
    check_bundle(task, out)
    of_calibration = [] if request.calibration_images is None else request.calibration_images.notes()
    if task.temperature != 1:
        say(f"note: probabilities are softmax(logits / {task.temperature:g})")
    for note in (*checkpoint.notes, *images.notes, *of_calibration):
        say(f"note: {note}")
    with staged(out) as staging:
        fp32 = make_fp32(
            student,
            staging.final,
            opset,
            name=bundle_name(student.name) if request.bundle else None,
            licence=licence,
            probabilities=probabilities,
            temperature=task.temperature,
            any_size=any_size,
            cam=cam,
            say=say,
        )
        report, failure = _prove_fp32(task, fp32)
        reports = {"fp32": report}
        if failure:
            write_json(staging.rejected / PARITY, reports)
            raise GateError(
                failure,
                remedy=f"{out / REJECTED / PARITY} names the worst images and the bounds that would have passed.",
                report=reports,
            )
        try:
            prove_mapping(task, checkpoint.mapped, report)
        except GateError as error:
            write_json(staging.rejected / PARITY, reports)
            error.report = reports
            raise
        if data is None:
            say("random images were used, which prove less than images of your own: give some with --data")
        outcomes, engines = _make_and_prove(task, fp32, staging)
        reports |= {name: outcome.report for name, outcome in outcomes.items()}
        if engines:
            reports["engines"] = engines
        irs = make_and_prove_irs(task, fp32.core, staging)
        if irs:
            reports["openvino"] = {precision: verdict.to_json() for precision, verdict in irs.items()}
        failed = unmet_variants(request.required, reports)
        if failed:
            write_json(staging.rejected / PARITY, reports)
            raise GateError(
                failed,
                remedy=f"{out / REJECTED} holds the reports and what was made; without --require the rest is kept.",
                report=reports,
            )
        audits = {"fp32": {"file": MODEL, "initializers": fp32.entries, "operators": fp32.operators}}
        audits |= {name: outcome.audit for name, outcome in outcomes.items() if outcome.audit is not None}
        write_json(staging.final / AUDIT, audits)
        write_json(staging.final / PREPROCESS, student.preprocessing.to_json())
        write_json(staging.final / LABELS, student.labels)
        write_json(staging.final / PARITY, reports)
        if request.bundle:
            ships = [verdict.made for verdict in irs.values() if verdict.status is Status.SHIPPED]
            pack_bundle(task, audits, reports, staging, licence=licence, notes=checkpoint.notes, irs=ships)
    return reports


def _scaling(checkpoint: LoadedCheckpoint, temperature: float | None, *, used: bool) -> Mapping[str, Any] | None:
    """What is known of the temperature; None where probabilities are the plain softmax, or nobody asks for any.

    Args:
        used: whether anything that is made has a use of it.
    """
    if temperature is None:
        return checkpoint.calibration if used else None
    check_temperature(temperature, "--temperature")
    if not used:
        raise UsageError("--temperature has no effect here", remedy="Add --probabilities or --bundle, or leave it out.")
    return None if temperature == 1 else {"temperature": temperature, "splits": {}}


def _prove_fp32(task: ExportTask, fp32: Fp32) -> tuple[dict[str, Any], str]:
    """Compare `model.onnx` and its forms with the student: (its entry of `parity.json`, why it must not ship)."""
    parity, failure = prove_fp32(fp32.core, task.context)
    accuracy, chance = parity.whole.reference_accuracy, task.images.chance
    if accuracy is not None and chance is not None:
        for line in lines.accuracy_of_original(accuracy, parity.whole.images, chance):
            task.say(line)
    if task.images.unlabelled is not None:
        task.say(f"accuracy is not compared: {task.images.unlabelled}")
    forms, against = prove_forms(task, MODEL, fp32.core, fp32.shipped, "fp32")
    failures = [*parity.failures, *against]
    if against:
        failure = f"{MODEL} is not the student: {'; '.join(failures)}"
    verdict = {"passed": not failures, "failures": failures}
    return {"file": MODEL, **task.about, **parity.to_json(), **verdict, **forms}, failure


def _make_and_prove(task: ExportTask, fp32: Fp32, staging: Staging) -> tuple[dict[str, Outcome], dict[str, Any]]:
    """Everything besides `model.onnx`: (what became of the variants, the engines' entries of `parity.json`).

    Raises:
        GateError, UnavailableError: engines are required, and one does not ship.
    """
    asked, work = task.request.engines, staging.work
    write_bytes(work / MODEL, fp32.core)
    variants = make_variants(task.request.variants, *fp32.base, work, task.context, task.calibration, fp32.cam)
    engines: dict[str, MadeEngine] = {}
    if asked is not None:
        engines = make_engines(
            task.request.precisions,
            variants,
            work,
            asked.settings,
            required=asked.required,
            track=tracked(task.say),
            say=task.say,
            warn=task.say,
        )
    verdicts = prove_artifacts(variants, engines, work, task.context)
    for verdict in verdicts.engines.values():
        conclude_engine(task, verdict, staging)
    if asked is not None and asked.required and (error := unmet_engines(verdicts.engines.values())) is not None:
        raise type(error)(error.message, remedy=OR_LESS)
    outcomes = {
        name: conclude_variant(task, fp32, variants[name], verdict, staging)
        for name, verdict in verdicts.variants.items()
    }
    return outcomes, {precision: verdict.to_json() for precision, verdict in verdicts.engines.items()}
