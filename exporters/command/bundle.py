"""`export --bundle`: what passed, packed as a run packs it."""

import hashlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporters.artifacts.openvino import MadeIr
from exporters.artifacts.ship import Passed, ship, split_results
from exporters.artifacts.status import Status
from exporters.audit.texts import check_paths
from exporters.bundle.contents import BundleFacts
from exporters.bundle.layout import bundle_size
from exporters.command.staging import BUNDLE, Staging, has_own_bundle
from exporters.command.task import ExportTask
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.licences import CODE_LICENCE
from exporters.core.versions import installed_packages
from exporters.parity.intervals import wilson_interval

PROOF = "proof"
"""The split of a bundle's results that are the images of the export."""


def check_bundle(task: ExportTask, out: Path) -> None:
    """Refuse, before anything is made, what no bundle holds, and a folder that packing would overwrite.

    Raises:
        UsageError: images of any size, or probabilities; a bundle in `out` that no export wrote.
        UnavailableError: the package that writes the bill of materials is missing.
    """
    if not task.request.bundle:
        return
    task.refuse_forms(
        lambda option: f"{option} and --bundle: a bundle's models take images of one size, and give logits alone"
    )
    if (out / BUNDLE).exists() and not has_own_bundle(out):
        raise UsageError(
            f"{out / BUNDLE}: is there already, and the last export into {out} did not write it",
            remedy="Move it away, or give another --out.",
        )
    if importlib.util.find_spec("cyclonedx") is None:
        raise UnavailableError(
            "--bundle needs the package cyclonedx-python-lib, which writes the bill of materials",
            remedy="Install the extra that exports: pip install 'tmkd-pipeline[cpu]' or [gpu].",
        )


def bundle_name(student: str) -> str:
    """What a bundle is called, and the models in it, after a student of this name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", student)[:100].strip("._-") or "student"


def pack_bundle(
    task: ExportTask,
    audits: Mapping[str, Any],
    reports: Mapping[str, Any],
    staging: Staging,
    *,
    licence: str | None,
    notes: Sequence[str],
    irs: Sequence[MadeIr] = (),
) -> None:
    """Pack the files of `staging.final` that ship, their proofs and the facts about them, and verify the bundle.

    Args:
        audits, reports: the content of `audit.json` and of `parity.json`.
        licence: of the weights.
        notes: what was taken for granted about the checkpoint; the card lists it.
        irs: OpenVINO IR that ships.

    Raises:
        GateError: it does not verify.
    """
    engines = [name for name, report in reports.get("engines", {}).items() if report["status"] == Status.SHIPPED]
    initializers = {name: audit["initializers"] for name, audit in audits.items()}
    manifest = ship(
        task.student,
        task.reference,
        Passed.from_folder(staging.final, initializers, engines, reports, irs),
        task.context.images,
        _facts(task, licence, notes),
        staging.packed / BUNDLE,
        name=bundle_name(task.student.name),
        calibration=task.scaling,
        warn=task.say,
    )
    task.say(f"{BUNDLE}: {bundle_size(staging.packed / BUNDLE, manifest)}, verified")


def _facts(task: ExportTask, licence: str | None, notes: Sequence[str]) -> BundleFacts:
    generated = task.images.source == "generated"
    results = {} if task.images.unlabelled is not None or generated else {PROOF: _results(task)}
    metrics: dict[str, Any] = {}
    for split, found in results.items():
        low, high = wilson_interval(found["correct"], found["images"])
        metrics[f"{split} top-1"] = found["correct"] / found["images"]
        metrics[f"{split} top-1, 95 % interval"] = [round(low, 4), round(high, 4)]
    provenance = ["Exported from a checkpoint: how it was trained, and on what, is not known here."]
    if generated:
        provenance.append("Its files were proved on generated images alone, which proves less than photographs do.")
    if results:
        provenance.append(f"Whether it was trained on the images of the split `{PROOF}` is not known either.")
    provenance += [f"Taken for granted: {note}." for note in notes if _speaks_of_no_folder(note)]
    return BundleFacts(
        recipe_sha256="",
        data_fingerprint="",
        licences={"weights": licence, "data": None, "code": CODE_LICENCE},
        versions=installed_packages(),
        metrics=metrics,
        data={
            "name": "generated images" if generated else "images given to the export",
            "classes": len(task.student.labels),
            PROOF: len(task.images),
        },
        results=results,
        provenance=" ".join(provenance),
    )


def _results(task: ExportTask) -> dict[str, Any]:
    """The answers of the student in torch, in the form of a run's results on its splits."""
    predicted, truth = [], []
    for (_, labels, _), logits in task.context.evidence.with_reference():
        assert labels is not None
        predicted.append(logits.argmax(axis=1))
        truth.append(labels)
    digests = (hashlib.sha256(path.read_bytes()).digest() for path in task.images.paths)
    return split_results(np.concatenate(predicted), np.concatenate(truth), digests, task.student.labels)


def _speaks_of_no_folder(note: str) -> bool:
    try:
        check_paths("note", [note])
    except GateError:
        return False
    return True
