"""Building the TensorRT engines of a student, each from the ONNX file of its precision. Nothing is run here.

Building and proving are apart: TensorRT for RTX builds without a GPU, and what did not run on one is not proved.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from exporters.artifacts.context import Say, silent
from exporters.artifacts.variants import Variant
from exporters.bundle.manifest import ENGINE_SOURCES, ENGINES, plan_name, variant_of
from exporters.core.errors import GateError, TmkdError, UnavailableError
from exporters.core.interrupts import interrupts_kept
from exporters.tensorrt.build import build_engine
from exporters.tensorrt.gpu import Gpu, current_gpu
from exporters.tensorrt.libraries import Flavour, Library, find
from exporters.tensorrt.progress import Progress
from exporters.tensorrt.settings import EngineSettings

Track = Callable[[str], AbstractContextManager[Progress | None]]

_NONE: Mapping[str, Any] = {}


@contextmanager
def _untracked(_name: str) -> Iterator[Progress | None]:
    yield None


@dataclass(frozen=True)
class MadeEngine:
    """What came of building one engine.

    Args:
        precision: a key of `ENGINE_SOURCES`.
        sidecar: the content of its sidecar; None where it was not made, or is not at hand.
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
        """Plain JSON; everything else is in the sidecar."""
        return {"file": self.file, "source": self.source, **({"not_made": self.not_made} if self.not_made else {})}

    @classmethod
    def from_json(cls, precision: str, entry: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; the sidecar is left where it is."""
        return cls(precision, not_made=entry.get("not_made", ""))


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


def build_engines(
    precisions: Iterable[str],
    models: Mapping[str, Path],
    folder: Path,
    settings: EngineSettings,
    *,
    library: Flavour = "auto",
    kept_float: Mapping[str, Collection[str]] = _NONE,
    cache: Path | None = None,
    required: bool = False,
    track: Track = _untracked,
    say: Say = silent,
    warn: Say = silent,
) -> dict[str, MadeEngine]:
    """Build `<stem of the ONNX file>.plan` and its sidecar into a folder, for each precision; nothing is run.

    Args:
        precisions: keys of `ENGINE_SOURCES`.
        models: by precision, the ONNX file; what is missing could not be made.
        folder: made where it is missing.
        settings: of all engines; `timing_cache` is set here.
        library: which TensorRT.
        kept_float: by precision, ONNX nodes that stay in fp32 on purpose.
        cache: folder for a timing cache of each library; None keeps none.
        required: raise instead of reporting why an engine is not made.
        track: from an engine's name to a context that gives the callback for `build_engine`'s progress.
        say, warn: given one line for each engine that was made, and for each that was not.

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
                    fp32_nodes=kept_float.get(precision, ()),
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
        say(_summary(made[precision], found))
    return made


def _summary(engine: MadeEngine, library: Library) -> str:
    assert engine.sidecar is not None
    sidecar = engine.sidecar
    target = ", ".join(sidecar["compute_capabilities"])
    return (
        f"{engine.file}: {sidecar['plan']['size'] / 1e6:.2f} MB from {engine.source} by {library.title}"
        f" ({sidecar['gpu']}{f'; for compute capability {target}' if target else ''}) in {sidecar['seconds']:.1f} s,"
        f" timing cache {sidecar['timing_cache']}"
    )


def make_engines(
    precisions: Iterable[str],
    variants: Mapping[str, Variant],
    folder: Path,
    settings: EngineSettings,
    **options: Any,
) -> dict[str, MadeEngine]:
    """Build the engines of ONNX files in a folder into its subfolder `engines`; nothing from a file that failed.

    Args:
        precisions: keys of `ENGINE_SOURCES`.
        variants: what `make_variants` gave; the files in the folder are theirs, and `model.onnx`.
        settings, options: as `build_engines` takes them.

    Raises:
        TmkdError: as `build_engines`.
    """
    sources = {precision: variants.get(variant_of(ENGINE_SOURCES[precision])) for precision in precisions}
    models = {
        precision: folder / ENGINE_SOURCES[precision]
        for precision, source in sources.items()
        if precision == "fp32" or (source is not None and not source.not_made)
    }
    failed = {
        precision: MadeEngine(precision, not_made=f"{source.file}, which it is built from, failed its gate")
        for precision, source in sources.items()
        if source is not None and source.failures
    }
    kept_float = {"fp16": variants["fp16"].kept_float} if "fp16" in variants else {}
    asked = [precision for precision in sources if precision not in failed]
    made = build_engines(asked, models, folder / ENGINES, settings, kept_float=kept_float, **options) if asked else {}
    return {precision: (made | failed)[precision] for precision in sources}
