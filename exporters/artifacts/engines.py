"""TensorRT engines of a student: each made from the ONNX file of its precision, and proved on a GPU before it ships.

Making and proving are apart: TensorRT for RTX builds without a GPU, and what did not run on one is not proved.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exporters.artifacts.variants import Verdict
from exporters.bundle.manifest import ENGINE_SOURCES, plan_name
from exporters.core.errors import GateError, TmkdError, UnavailableError
from exporters.core.files import sha256_bytes
from exporters.core.interrupts import interrupts_kept
from exporters.parity import Evidence, ParityGate, ParityReport
from exporters.tensorrt.build import build_engine
from exporters.tensorrt.gpu import Gpu, current_gpu
from exporters.tensorrt.libraries import Flavour, Library, find
from exporters.tensorrt.progress import Progress
from exporters.tensorrt.settings import EngineSettings
from exporters.tensorrt.sidecar import check_fresh, sidecar_path

Tell = Callable[[str], None]
Track = Callable[[str], AbstractContextManager[Progress | None]]

_NONE: Mapping[str, Any] = {}


def _silent(_line: str) -> None:
    """Tell nobody."""


@contextmanager
def _untracked(_name: str) -> Iterator[Progress | None]:
    yield None


@dataclass(frozen=True)
class MadeEngine:
    """What became of one engine that was asked for.

    Args:
        precision: a key of `ENGINE_SOURCES`.
        sidecar: the content of its sidecar; None where it was not made.
        not_made: why not; empty where it was made.
    """

    precision: str
    sidecar: Mapping[str, Any] | None = None
    not_made: str = ""

    @property
    def source(self) -> str:
        """Name of the ONNX file that it is built from."""
        return ENGINE_SOURCES[self.precision]

    @property
    def file(self) -> str:
        """Name of the plan."""
        return plan_name(self.source)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; what more is to be known stands in the sidecar."""
        told = {"file": self.file, "source": self.source}
        return told if self.sidecar is not None else {**told, "not_made": self.not_made}


def fit_to_gpu(settings: EngineSettings, library: Library, gpu: Gpu | None) -> EngineSettings:
    """The settings, for the GPU at hand where TensorRT for RTX is asked for no compute capability.

    Raises:
        UnavailableError: this library builds nothing for the GPU at hand.
    """
    if not library.is_rtx or gpu is None or settings.compute_capabilities:
        return settings
    if gpu.compute_capability not in library.compute_capabilities:
        raise UnavailableError(
            f"{library.title} builds no engines for {gpu.name} (compute capability {gpu.compute_capability})",
            remedy="Install TensorRT: pip install 'tmkd-pipeline[gpu]'.",
        )
    return replace(settings, compute_capabilities=(gpu.compute_capability,))


def check_library(settings: EngineSettings, library: Flavour = "auto") -> Library:
    """The TensorRT that would build these engines.

    Raises:
        UsageError: settings that it does not have.
        UnavailableError: no TensorRT.
    """
    found = find(library)
    settings.check(found)
    return found


def check_machine(settings: EngineSettings, library: Flavour = "auto") -> None:
    """Refuse engines that could not be built, run and so proved on this machine; nothing is made.

    Raises:
        UsageError: as `check_library`.
        UnavailableError: no TensorRT, no GPU, or one that these engines would not run on.
    """
    found = check_library(settings, library)
    gpu = current_gpu()
    if gpu is None:
        raise UnavailableError(
            f"engines ship only after they ran on an NVIDIA GPU, and torch finds none here ({found.title} is here)",
            remedy="`nvidia-smi` must answer, and torch must be a CUDA build.",
        )
    if found.is_rtx and gpu.compute_capability not in fit_to_gpu(settings, found, gpu).compute_capabilities:
        raise UnavailableError(
            f"engines for compute capability {', '.join(settings.compute_capabilities)} do not run on {gpu.name}"
            f" ({gpu.compute_capability}), where they would have to be proved"
        )


def make_engines(
    precisions: Iterable[str],
    models: Mapping[str, Path],
    folder: Path,
    settings: EngineSettings,
    *,
    library: Flavour = "auto",
    islands: Mapping[str, Collection[str]] = _NONE,
    cache: Path | None = None,
    required: bool = False,
    track: Track = _untracked,
    say: Tell = _silent,
    warn: Tell = _silent,
) -> dict[str, MadeEngine]:
    """Build `<stem of the ONNX file>.plan` and its sidecar into a folder, for each precision; nothing is run.

    Args:
        precisions: keys of `ENGINE_SOURCES`.
        models: by precision, the ONNX file; what is missing could not be made.
        folder: made where it is missing.
        settings: of all engines; `timing_cache` is set here.
        library: which TensorRT.
        islands: by precision, ONNX nodes that stay in fp32 on purpose.
        cache: folder for a timing cache of each library; None keeps none.
        required: raise instead of telling why an engine is not made.
        track: given an engine's name, a context that gives what `build_engine` tells its progress.
        say, warn: told one line for each engine that was made, and for each that was not.

    Raises:
        TmkdError: with `required`, the first reason why an engine cannot be made.
    """
    made: dict[str, MadeEngine] = {}
    try:
        found = check_library(settings, library)
        settings = fit_to_gpu(settings, found, current_gpu())
    except TmkdError as error:
        if required:
            raise
        warn(f"no TensorRT engine is made: {error.message}")
        return {precision: MadeEngine(precision, not_made=error.message) for precision in precisions}
    if cache is not None:
        settings = replace(settings, timing_cache=cache / f"{found.name}.timing")
    for precision in precisions:
        engine = MadeEngine(precision)
        try:
            if precision not in models:
                raise GateError(f"{engine.source}, which it is built from, could not be made")
            with interrupts_kept(), track(engine.file) as progress:
                built = build_engine(
                    models[precision],
                    folder / engine.file,
                    settings,
                    precision=precision,
                    fp32_nodes=islands.get(precision, ()),
                    library=found,
                    progress=progress,
                )
        except TmkdError as error:
            if required:
                raise
            warn(f"{engine.file} is not made: {error.message}")
            made[precision] = replace(engine, not_made=error.message)
            continue
        made[precision] = replace(engine, sidecar=built.sidecar)
        say(_told(made[precision], found))
    return made


def _told(engine: MadeEngine, library: Library) -> str:
    assert engine.sidecar is not None
    sidecar = engine.sidecar
    target = ", ".join(sidecar["compute_capabilities"])
    return (
        f"{engine.file}: {sidecar['plan']['size'] / 1e6:.2f} MB from {engine.source} by {library.title}"
        f" ({sidecar['gpu']}{f'; for compute capability {target}' if target else ''}) in {sidecar['seconds']:.1f} s,"
        f" timing cache {sidecar['timing_cache']}"
    )


@dataclass(frozen=True)
class EngineVerdict:
    """Whether an engine ships, and why.

    Args:
        engine: as it was made.
        status: `shipped`, `rejected` (parity failed), `not proved` (it could not be run here) or `not made`.
        reason: one sentence.
        report: the whole set, and a part of it at small batches; None where it did not run.
        gpu: what it ran on; None where it did not.
    """

    engine: MadeEngine
    status: str
    reason: str
    report: ParityReport | None = None
    gpu: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for `parity.json`."""
        report = {"passed": False, "failures": [self.reason]} if self.report is None else self.report.to_json()
        told = {"file": self.engine.file, "source": self.engine.source, "status": self.status, "reason": self.reason}
        return {**report, **told, "gpu": self.gpu}


@interrupts_kept()
def prove_engine(engine: MadeEngine, folder: Path, model: Path, evidence: Evidence, gate: ParityGate) -> EngineVerdict:
    """Run an engine on a GPU on all images, and judge it as the ONNX file of its precision is judged.

    Args:
        engine: as `make_engines` gave it.
        folder: where its plan is.
        model: the ONNX file that it must have been built from.

    Raises:
        GateError: a damaged plan or sidecar, or an engine of another file; nothing of it was loaded.
    """
    from exporters.runtimes.tensorrt import TensorRTRuntime

    if engine.not_made:
        return EngineVerdict(engine, "not made", engine.not_made)
    plan = folder / engine.file
    sidecar = check_fresh(plan, sidecar_path(plan), sha256_bytes(model.read_bytes()))
    try:
        runtime = TensorRTRuntime(plan, sidecar["plan"]["sha256"], sidecar["library"]["name"])
        report = evidence.report(runtime, gate)
    except UnavailableError as error:
        return EngineVerdict(engine, "not proved", error.message)
    except GateError as error:  # it loads, and is no classifier of ours
        return EngineVerdict(engine, "rejected", error.message)
    if not report.passed:
        return EngineVerdict(engine, "rejected", "; ".join(report.failures), report, runtime.gpu)
    return EngineVerdict(engine, "shipped", f"proved on {runtime.gpu}", report, runtime.gpu)


def after_source(verdict: EngineVerdict, source: Verdict | None) -> EngineVerdict:
    """The verdict on an engine, once that on its ONNX file is known: what is built from a rejected file is rejected."""
    if source is None or source.status != "rejected" or verdict.status in {"not made", "rejected"}:
        return verdict
    return replace(verdict, status="rejected", reason=f"{verdict.engine.source}, which it is built from, was rejected")


def settle(source: Verdict, engine: EngineVerdict | None) -> Verdict:
    """The verdict on an ONNX file, once that on the engine built from it is known: a shipped engine takes it along."""
    if engine is None or source.status == "rejected":
        return source
    if engine.status == "shipped":
        return replace(source, status="shipped", reason=f"{source.reason}; {engine.engine.file} ships with it")
    if source.status == "not shipped":
        return replace(source, reason=f"{source.reason}, which is {engine.status}")
    return source


def unmet(verdicts: Sequence[EngineVerdict]) -> GateError | UnavailableError | None:
    """What a run ends with that needs all of these engines; None where all ship."""
    for status, kind in (("rejected", GateError), ("not made", UnavailableError), ("not proved", UnavailableError)):
        for verdict in verdicts:
            if verdict.status == status:
                return kind(
                    f"{verdict.engine.file} must ship and is {status}: {verdict.reason}",
                    remedy="With `export.tensorrt.when: available` the rest ships.",
                )
    return None
