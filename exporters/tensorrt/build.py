"""Build one engine from one proved ONNX file."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.files import open_regular, sha256_bytes
from exporters.tensorrt import timing_cache
from exporters.tensorrt.gpu import Gpu, current_gpu
from exporters.tensorrt.inspector import PRECISIONS, check_precision, inspect_engine, network_layers
from exporters.tensorrt.libraries import Library, find
from exporters.tensorrt.messages import Messages, collected
from exporters.tensorrt.parsing import INPUT_NAME, batch_shapes, make_builder, parse
from exporters.tensorrt.progress import Progress, run_build
from exporters.tensorrt.settings import EngineSettings
from exporters.tensorrt.sidecar import FORMAT, NO_GPU, UNSEEN_GPU, sidecar_path, write_engine

SUFFIX = ".plan"
_DRIVER = ("cudaError 35", "cudaError 100", "CUDA initialization failure", "no CUDA-capable device")


@dataclass(frozen=True)
class EngineBuild:
    """The written files, plan and sidecar, and the content of the sidecar."""

    path: Path
    sidecar_path: Path
    sidecar: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Of the plan."""
        return str(self.sidecar["plan"]["sha256"])


def build_engine(
    model: Path,
    out: Path,
    settings: EngineSettings,
    *,
    precision: str,
    fp32_nodes: Collection[str] = (),
    library: Library | None = None,
    progress: Progress | None = None,
) -> EngineBuild:
    """Build `out` (`<name>.plan`) and its sidecar `<name>.plan.json`; an error leaves neither.

    TF32 is off: fp32 means fp32. Ctrl-C ends the build at its next step.

    Args:
        model: one self-contained ONNX file; input `image` uint8 `[batch, S, S, 3]`, output `logits`.
        precision: what the file is in (`fp32`, `fp16`, `bf16`, `int8`); it is checked, not made.
        fp32_nodes: ONNX nodes that stay in fp32 on purpose.
        library: from `find`; by default what is installed, TensorRT before TensorRT for RTX.
        progress: called from another thread with the phase and the share done, 0 to 1.

    Raises:
        UsageError: settings that TensorRT does not have, or that do not fit the model; no such model.
        GateError: a model that TensorRT does not take, or that is not of this precision.
        UnavailableError: no TensorRT, or no GPU where one is needed.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}", remedy=f"Known: {', '.join(PRECISIONS)}.")
    if out.suffix != SUFFIX:
        raise UsageError(f"{out}: an engine's name ends in {SUFFIX}")
    try:
        with open_regular(model) as stream:
            data = stream.read()
    except OSError as error:
        raise UsageError(f"{model}: cannot be read ({error.strerror})") from error
    library = library or find()
    settings.check(library)
    gpu = current_gpu()
    started = time.perf_counter()
    with collected(library) as (logger, messages):
        builder = make_builder(library, logger, messages)
        network = parse(library, builder, logger, data, model.name)
        in_network = check_precision(network_layers(library, network), precision, fp32_nodes, "network")
        shapes = batch_shapes(network, settings.batch)
        config = _configure(library, builder, settings, shapes)
        cache = _use_cache(library, config, settings, gpu)
        plan = run_build(library, builder, network, config, progress)
        if plan is None:
            raise _failure(library, messages, model.name)
        in_engine = inspect_engine(library, logger, plan, precision, fp32_nodes)
        log = messages.log
    if settings.timing_cache is not None:
        timing_cache.store(settings.timing_cache, config, library, gpu)
    capabilities = list(settings.compute_capabilities)
    if not library.is_rtx and gpu is not None:
        capabilities = [gpu.compute_capability]
    sidecar = {
        "format": FORMAT,
        "library": {"name": library.name, "version": library.version},
        "gpu": gpu.name if gpu else NO_GPU if library.is_rtx else UNSEEN_GPU,
        "compute_capabilities": capabilities,
        "precision": precision,
        "islands": sorted(fp32_nodes),
        "profile": shapes and {INPUT_NAME: dict(zip(("min", "opt", "max"), map(list, shapes), strict=True))},
        "settings": {
            "workspace_bytes": settings.workspace_bytes,
            "version_compatible": settings.version_compatible,
            "hardware_compatible": settings.hardware_compatible,
        },
        "onnx": {"sha256": sha256_bytes(data), "size": len(data)},
        "plan": {"sha256": sha256_bytes(plan), "size": len(plan)},
        "network": in_network,
        "engine": in_engine,
        "timing_cache": cache,
        "seconds": round(time.perf_counter() - started, 3),
        "log": log,
    }
    write_engine(out, plan, sidecar)
    return EngineBuild(out, sidecar_path(out), sidecar)


def _configure(library: Library, builder: Any, settings: EngineSettings, shapes: list[tuple[int, ...]] | None) -> Any:
    trt = library.module
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # else the inspector shows names alone
    library.without_tf32(config)
    if settings.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_bytes)
    if settings.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if settings.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if settings.compute_capabilities:
        config.num_compute_capabilities = len(settings.compute_capabilities)
        for index, value in enumerate(settings.compute_capabilities):
            config.set_compute_capability(library.compute_capability(value), index)
    if shapes is not None:
        profile = builder.create_optimization_profile()
        profile.set_shape(INPUT_NAME, *shapes)
        if config.add_optimization_profile(profile) < 0:
            raise UsageError(f"tensorrt.batch: {library.title} refuses the profile {shapes}")
    return config


def _use_cache(library: Library, config: Any, settings: EngineSettings, gpu: Gpu | None) -> str:
    if settings.timing_cache is None:
        return "none"
    payload, state = timing_cache.load(settings.timing_cache, library, gpu)
    if timing_cache.attach(config, payload):
        return state
    if not payload or not timing_cache.attach(config, b""):
        raise UnavailableError(f"{library.title} takes no timing cache", remedy="Leave tensorrt.timing_cache out.")
    return f"replaced: refused by {library.title}"


def _failure(library: Library, messages: Messages, name: str) -> GateError | UnavailableError:
    errors = messages.errors
    if any(sign in errors for sign in _DRIVER):
        return UnavailableError(
            f"{name}: {library.title} cannot build this engine without an NVIDIA GPU and its driver ({errors})"
        )
    remedy = None
    if "Turing" in errors:
        remedy = "Leave compute capability 7.5 out, or build from an fp16 file."
    return GateError(f"{name}: {library.title} could not build an engine: {errors}", remedy=remedy)
