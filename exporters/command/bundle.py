"""`export --bundle`: what passed, packed as a run packs it."""

import hashlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporters.artifacts.ship import Passed, ship, split_results
from exporters.artifacts.variants import VARIANTS
from exporters.audit.texts import check_paths
from exporters.bundle.contents import BundleFacts, ShippedModel
from exporters.bundle.manifest import ENGINES
from exporters.command.fp32 import Fp32
from exporters.command.job import Job
from exporters.command.staging import BUNDLE, MODEL, Staging, has_own_bundle
from exporters.command.variants import Outcome
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.licences import CODE_LICENCE
from exporters.core.versions import installed_packages
from exporters.parity.intervals import wilson_interval

PROOF = "proof"
"""The split of a bundle's results that are the images of the export."""


def check_bundle(job: Job, out: Path) -> None:
    """Refuse, before anything is made, what no bundle holds, and a folder that packing would overwrite.

    Raises:
        UsageError: images of any size, or probabilities; a bundle in `out` that no export wrote.
        UnavailableError: the package that writes the bill of materials is missing.
    """
    if not job.request.bundle:
        return
    for asked, option in ((job.any_size, "--any-size"), (job.probabilities, "--probabilities")):
        if asked:
            raise UsageError(
                f"{option} and --bundle: a bundle's models take images of one size, and give logits alone",
                remedy="Export twice, once for each.",
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


def pack_bundle(
    job: Job,
    fp32: Fp32,
    outcomes: Mapping[str, Outcome],
    reports: Mapping[str, Any],
    staging: Staging,
    *,
    licence: str | None,
    notes: Sequence[str],
) -> None:
    """Pack the files of `staging.final` that ship, their proofs and the facts about them, and verify the bundle.

    Args:
        outcomes: of the variants.
        reports: what `parity.json` holds.
        licence: of the weights.
        notes: what was taken for granted about the checkpoint; the card tells it.

    Raises:
        GateError: it does not verify.
    """
    models = [ShippedModel(MODEL, "fp32", fp32.shipped, fp32.entries)]
    models += [
        ShippedModel(
            outcome.audit["file"],
            VARIANTS[name].precision,
            (staging.final / outcome.audit["file"]).read_bytes(),
            outcome.audit["initializers"],
        )
        for name, outcome in outcomes.items()
        if outcome.audit is not None
    ]
    engines = [name for name, report in reports.get("engines", {}).items() if report["status"] == "shipped"]
    manifest = ship(
        job.student,
        job.reference,
        Passed(models, engines, staging.final / ENGINES, reports),
        job.few,
        _facts(job, licence, notes),
        staging.packed / BUNDLE,
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", job.student.name).strip("._-") or "student",
        warn=job.say,
    )
    size = sum(entry["size"] for entry in manifest["files"].values())
    job.say(f"{BUNDLE}: {len(manifest['files'])} files, {size / 1e6:.2f} MB, verified")


def _facts(job: Job, licence: str | None, notes: Sequence[str]) -> BundleFacts:
    drawn = job.images.source == "generated"
    results = {} if job.images.unlabelled is not None or drawn else {PROOF: _results(job)}
    metrics: dict[str, Any] = {}
    for split, found in results.items():
        low, high = wilson_interval(found["correct"], found["images"])
        metrics[f"{split} top-1"] = found["correct"] / found["images"]
        metrics[f"{split} top-1, 95 % interval"] = [round(low, 4), round(high, 4)]
    told = ["Exported from a checkpoint: how it was trained, and on what, is not known here."]
    if drawn:
        told.append("Its files were proved on generated images alone, which proves less than photographs do.")
    if results:
        told.append(f"Whether it was trained on the images of the split `{PROOF}` is not known either.")
    told += [f"Taken for granted: {note}." for note in notes if _speaks_of_no_folder(note)]
    return BundleFacts(
        recipe_sha256="",
        data_fingerprint="",
        licences={"weights": licence, "data": None, "code": CODE_LICENCE},
        versions=installed_packages(),
        metrics=metrics,
        data={
            "name": "generated images" if drawn else "images given to the export",
            "classes": len(job.student.labels),
            PROOF: len(job.images),
        },
        results=results,
        provenance=" ".join(told),
    )


def _results(job: Job) -> dict[str, Any]:
    """What the student in torch answered, as a run tells it of its splits."""
    predicted, truth = [], []
    for (_, labels, _), logits in job.evidence.with_reference():
        assert labels is not None
        predicted.append(logits.argmax(axis=1))
        truth.append(labels)
    digests = (hashlib.sha256(path.read_bytes()).digest() for path in job.images.paths)
    return split_results(np.concatenate(predicted), np.concatenate(truth), digests, job.student.labels)


def _speaks_of_no_folder(note: str) -> bool:
    try:
        check_paths("note", [note])
    except GateError:
        return False
    return True
