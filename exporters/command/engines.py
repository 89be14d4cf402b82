"""The TensorRT engines of an export: built from files that passed, and proved on a GPU before they take a name."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from exporters.artifacts.engines import (
    EngineVerdict,
    MadeEngine,
    check_machine,
    make_engines,
    prove_engine,
    settle,
    unmet,
)
from exporters.bundle.manifest import ENGINE_SOURCES, ENGINES, variant_of
from exporters.command.fp32 import Fp32
from exporters.command.job import Job, Say
from exporters.command.staging import UNPROVED, Staging
from exporters.command.variants import Candidate
from exporters.core.errors import UnavailableError, UsageError
from exporters.core.files import write_bytes, write_json
from exporters.parity import DEFAULT_GATES
from exporters.tensorrt.progress import Progress
from exporters.tensorrt.sidecar import sidecar_path

_SECONDS_BETWEEN_LINES = 10.0
_OR_LESS = "--tensorrt available keeps what can be made and proved here."


def check_engines(job: Job) -> None:
    """Refuse, before anything is made, what no engine has, and a machine on which required ones cannot be proved.

    Raises:
        UsageError: engines of images of any size, or of probabilities.
        UnavailableError: as `exporters.artifacts.engines.check_machine`.
    """
    if job.request.engines is None:
        return
    for asked, option in ((job.any_size, "--any-size"), (job.probabilities, "--probabilities")):
        if asked:
            raise UsageError(
                f"{option} is for ONNX files: an engine takes images of one size, and gives logits alone",
                remedy="Export twice, once for each.",
            )
    if job.request.engines.required:
        try:
            check_machine(job.request.engines.settings)
        except UnavailableError as error:
            raise UnavailableError(error.message, remedy=f"{error.remedy or ''} {_OR_LESS}".strip()) from error


def export_engines(
    job: Job, fp32: Fp32, candidates: Mapping[str, Candidate], staging: Staging
) -> tuple[dict[str, Candidate], dict[str, Any]]:
    """Build and prove the engines: (the variants, a shipped engine's own with it; reports by precision).

    An engine that was proved goes to `engines`, one that failed to `rejected`, one that could not be run to
    `unproved`.

    Raises:
        GateError, UnavailableError: engines are required, and one does not ship.
    """
    request = job.request.engines
    assert request is not None
    models, lost = {}, {}
    for precision in job.request.precisions:
        source = ENGINE_SOURCES[precision]
        name = variant_of(source)
        candidate = candidates.get(name)
        if precision != "fp32" and (candidate is None or candidate.verdict.status == "rejected"):
            what = "could not be made" if candidate is None else "was rejected"
            lost[precision] = MadeEngine(precision, not_made=f"{source}, which it is built from, {what}")
            continue
        models[precision] = staging.work / source
        write_bytes(models[precision], fp32.core if candidate is None else candidate.variant.data)
    made = make_engines(
        models,
        models,
        staging.work / ENGINES,
        request.settings,
        islands={"fp16": candidates["fp16"].variant.kept_float} if "fp16" in candidates else {},
        required=request.required,
        track=_track(job.say),
        say=job.say,
        warn=job.say,
    )
    verdicts = {}
    for precision, engine in (made | lost).items():
        gate = DEFAULT_GATES[precision]
        model = models.get(precision, staging.work)
        verdicts[precision] = prove_engine(engine, staging.work / ENGINES, model, job.evidence, gate)
        _conclude(job, verdicts[precision], staging)
    error = unmet(list(verdicts.values())) if request.required else None
    if error is not None:
        raise type(error)(error.message, remedy=_OR_LESS)
    built = {variant_of(ENGINE_SOURCES[precision]): verdict for precision, verdict in verdicts.items()}
    settled = {
        name: replace(candidate, verdict=settle(candidate.verdict, built.get(name)))
        for name, candidate in candidates.items()
    }
    return settled, {precision: verdict.to_json() for precision, verdict in verdicts.items()}


def _conclude(job: Job, verdict: EngineVerdict, staging: Staging) -> None:
    """Tell what becomes of an engine, and put it where it belongs."""
    engine = verdict.engine
    where = f"; {UNPROVED}/ holds it, and nothing may serve it before it ran on its GPU"
    told = where if verdict.status == "not proved" else ""
    job.say(f"{engine.file}: {verdict.status}, {verdict.reason}{told}")
    places = {
        "shipped": staging.final / ENGINES,
        "rejected": staging.rejected,
        "not proved": staging.unproved,
    }
    place = places.get(verdict.status)
    if place is None:
        return
    plan = staging.work / ENGINES / engine.file
    for path in (plan, sidecar_path(plan)):
        write_bytes(place / path.name, path.read_bytes())
    if verdict.status != "shipped":
        write_json(place / f"{engine.file}.parity.json", verdict.to_json())


def _track(say: Say) -> Callable[[str], AbstractContextManager[Progress]]:
    @contextmanager
    def track(name: str) -> Iterator[Progress]:
        told = time.monotonic()

        def progress(_phase: str, share: float) -> None:
            nonlocal told
            if time.monotonic() - told > _SECONDS_BETWEEN_LINES:
                told = time.monotonic()
                say(f"  {name}: {100 * share:.0f} % built")

        say(f"{name}: built by TensorRT")
        yield progress

    return track
