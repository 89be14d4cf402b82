"""Measure a bundle: every model on every provider, its engines, and torch eager, in turn, each in its own process."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from exporters.benchmark.child import Child
from exporters.benchmark.decision import times_as_fast
from exporters.benchmark.machine import cores, describe_machine
from exporters.benchmark.memory import available_bytes
from exporters.benchmark.rounds import summarise, time_rounds
from exporters.benchmark.targets import (
    FP32,
    PROVIDERS,
    Target,
    engine_targets,
    load,
    onnx_targets,
    openvino_targets,
    torch_targets,
)
from exporters.bundle.manifest import GOLDEN_INPUTS, GOLDEN_OUTPUTS, PARITY, parse_json, read_listed, read_manifest
from exporters.bundle.openvino import weights_of
from exporters.core.arrays import read_npz
from exporters.core.errors import GateError, TmkdError, UnavailableError, UsageError
from exporters.core.wording import count_of
from exporters.parity import compare

FORMAT = "tmkd-benchmark/1"
BATCHES = (1, 4, 16, 64)
_SAME_STUDENT = 1e-3  # of the logits' scale: processors and kernels add in another order, other weights are far away
_MOST_OF_MEMORY = 0.8

Figures = dict[str, Any]
ProgressCallback = Callable[[int, int], None]


def benchmark_bundle(
    bundle: Path,
    *,
    batches: Sequence[int] = BATCHES,
    threads: Sequence[int] | None = None,
    seconds: float = 1.0,
    student: Path | None = None,
    providers: Sequence[str] = ("cpu",),
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Time every model of a bundle on golden images, rounds interleaved over all of them and torch eager.

    Engines are measured where their TensorRT and a GPU are, and OpenVINO files where OpenVINO is; elsewhere a note says
    why they were left out.

    Args:
        bundle: the folder; hashes are checked of all that is loaded.
        batches: images a call. A batch that is likely not to fit into memory is left out with a note.
        threads: of the CPU; None for 1 and as many as there are cores.
        seconds: about how long each runtime is timed at each batch size and number of threads.
        student: of torch eager: its folder or its run; None for that of the run directory which the bundle lies in.
        providers: of ONNX Runtime: `cpu`, `cuda`, `tensorrt`; with the latter two, or engines, torch is measured on
            CUDA.
        progress: called with how many settings are done, and of how many at most.

    Returns:
        What `benchmark.json` holds; docs/benchmark.md explains it.

    Raises:
        UsageError: no such bundle, a number or a provider that makes no sense, a student that is not the bundle's.
        GateError: a damaged bundle.
        UnavailableError: a provider or device that does not run here; never is another one measured in its place.
    """
    batches, threads, providers = _settings(batches, threads, seconds, providers)
    manifest = read_manifest(bundle)
    parity = parse_json(PARITY, read_listed(bundle, manifest, PARITY))
    parity = parity if isinstance(parity, dict) else {}
    images = read_npz(GOLDEN_INPUTS, read_listed(bundle, manifest, GOLDEN_INPUTS), "image")
    logits = read_npz(GOLDEN_OUTPUTS, read_listed(bundle, manifest, GOLDEN_OUTPUTS), "logits")
    if images.ndim != 4 or len(images) == 0:
        raise GateError(f"{GOLDEN_INPUTS}: {images.dtype} {list(images.shape)} are no images")
    engines, notes = engine_targets(manifest, parity)
    irs, without_openvino = openvino_targets(manifest, parity, providers)
    notes += without_openvino
    given = [target.model for target in (*engines, *irs) if target.model is not None]
    named = [*manifest["models"], *given, *(weights_of(target.model) for target in irs if target.model is not None)]
    files = {name: read_listed(bundle, manifest, name) for name in named}
    on_gpu = bool(engines) or any(provider != "cpu" for provider in providers)
    torch_students, without_torch = torch_targets(bundle, student, parity, providers, on_gpu=on_gpu)
    notes += without_torch
    targets = [*torch_students, *onnx_targets(manifest, parity, providers), *irs, *engines]

    settings = [(count, batch) for count in threads for batch in batches]
    results: dict[tuple[str, int], dict[str, Any]] = {}
    done = 0
    for count in threads:
        with ExitStack() as stack:
            children, left_out = _start(stack, targets, files, images, logits, count, must=student is not None)
            notes += [note for note in left_out if note not in notes]
            targets = [target for target in targets if target.name in children]
            loaded = _resident(children)
            for position, batch in enumerate(batches):
                if position and (note := _too_large(children, loaded, batches[position - 1], batch)):
                    notes.append(f"batch {batch} and larger with {count_of(count, 'thread')} was left out: {note}")
                    break  # the larger ones need more
                times = time_rounds(children, batch, seconds=seconds)
                figures = {name: summarise(rounds, batch) for name, rounds in times.items()}
                for target in targets:
                    entry = results.setdefault((target.name, count), _entry(target, count))
                    entry["batches"].append(
                        {
                            "batch": batch,
                            **figures[target.name],
                            "resident_bytes": children[target.name].resident_bytes,
                            "times_as_fast_as": _ratios(target, targets, figures),
                        }
                    )
                done += 1
                if progress is not None:
                    progress(done, len(settings))
    return {
        "format": FORMAT,
        "student": {key: manifest.get(key) for key in ("name", "version", "architecture", "parameters")},
        "image": list(images.shape[1:]),
        "machine": describe_machine(gpu=on_gpu),
        "settings": {
            "batches": list(batches), "threads": list(threads), "seconds": seconds, "providers": list(providers),
        },
        "notes": notes,
        "results": list(results.values()),
    }  # fmt: skip


def _settings(
    batches: Sequence[int], threads: Sequence[int] | None, seconds: float, providers: Sequence[str]
) -> tuple[list[int], list[int], list[str]]:
    threads = (1, cores()) if threads is None else threads
    for what, values in (("batches", batches), ("threads", threads)):
        if not values or any(value < 1 for value in values):
            raise UsageError(f"{what}: numbers of 1 or more are needed, not {', '.join(map(str, values)) or 'nothing'}")
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"seconds: 0 or more are needed, not {seconds}")
    unknown = [provider for provider in providers if provider not in PROVIDERS]
    if unknown or not providers:
        raise UsageError(
            f"unknown provider {unknown[0]!r}" if unknown else "no provider was named",
            remedy=f"Known: {', '.join(PROVIDERS)}.",
        )
    return sorted(set(batches)), sorted(set(threads)), list(dict.fromkeys(providers))


def _start(
    stack: ExitStack,
    targets: Sequence[Target],
    files: Mapping[str, bytes],
    images: np.ndarray,
    logits: np.ndarray,
    threads: int,
    *,
    must: bool,
) -> tuple[dict[str, Child], list[str]]:
    """A process for each target, and notes on what does not run: engines, and torch students not asked for."""
    children: dict[str, Child] = {}
    notes = []
    for target in sorted(targets, key=lambda target: target.kind):  # what is missing fails before torch is loaded
        child = stack.enter_context(Child(target.name))
        try:
            load(child, target, files, images, threads)
            if target.kind == "torch":
                _check_student(child, target, logits)
        except TmkdError as error:
            optional = target.kind == "engine" and isinstance(error, UnavailableError)
            if not optional and (target.kind != "torch" or must):
                raise
            child.close()
            left_out = "torch eager" if target.kind == "torch" else target.model
            notes.append(f"{left_out} was left out: {error.message}")
            continue
        children[target.name] = child
    return children, notes


def _check_student(child: Child, target: Target, logits: np.ndarray) -> None:
    """A student that answers otherwise than the golden vectors is another one: its speed would say nothing."""
    found = child.logits()
    if found.shape == logits.shape:
        error = compare(logits, found, None, [""] * len(logits))
        if error.max_scaled_error is not None and error.max_scaled_error <= _SAME_STUDENT and not error.non_finite:
            return
    raise UsageError(f"{target.student}: not the student of this bundle, it answers otherwise to the golden images")


def _resident(children: Mapping[str, Child]) -> int:
    return sum(child.resident_bytes or 0 for child in children.values())


def _too_large(children: Mapping[str, Child], loaded: int, batch: int, larger: int) -> str | None:
    """Why the next batch is not tried: what the last one took, scaled, is more than most of the memory left."""
    available = available_bytes()
    needed = (_resident(children) - loaded) * (larger / batch - 1)
    if available is None or needed <= _MOST_OF_MEMORY * available:
        return None
    return f"it would take about {needed / 1e9:.1f} GB more, and {available / 1e9:.1f} GB are left"


def _entry(target: Target, threads: int) -> dict[str, Any]:
    return {
        "runtime": target.runtime,
        "model": target.model,
        "variant": target.variant,
        "precision": target.precision,
        "bytes": target.size,
        "accuracy": target.accuracy,
        "agreement": target.agreement,
        "threads": threads,
        "batches": [],
    }


def _ratios(
    target: Target, targets: Sequence[Target], figures: Mapping[str, Figures]
) -> dict[str, dict[str, float] | None]:
    """How many times as fast as torch eager on the same device, and as fp32 on the same provider or TensorRT."""
    torch_name = next((t.name for t in targets if t.kind == "torch" and t.device == target.torch_device), None)
    fp32_name = next(
        (t.name for t in targets if t.variant == FP32 and t.kind != "torch" and t.runtime == target.runtime), None
    )
    ratios: dict[str, dict[str, float] | None] = {"torch": None, "fp32": None}
    for key, reference in (("torch", torch_name), ("fp32", fp32_name)):
        if reference is not None and reference != target.name:
            ratio = times_as_fast(figures[target.name], figures[reference])
            ratios[key] = {
                "ratio": round(ratio.ratio, 4), "low": round(ratio.low, 4), "high": round(ratio.high, 4),
            }  # fmt: skip
    return ratios
