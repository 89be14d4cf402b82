"""The figures of a benchmark as cells, for the terminal and for Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

NONE = "–"

COLUMNS = (
    "runtime",
    "precision",
    "size MB",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "images/s (batch)",
    "top-1 %",
    "agreement %",
    "memory MB",
    "vs torch",
    "vs fp32",
)
"""Of `rows`; the first two are words, the others figures."""

SHORT_COLUMNS = (*COLUMNS[:2], "MB", *COLUMNS[3:6], "images/s", "top-1", "agree", "RSS MB", "×torch", "×fp32")
"""The same for a terminal of 120 letters."""

_ENGINES = {"onnxruntime": "ORT", "tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX", "openvino": "OpenVINO"}
_DEVICES = {"cpu": "CPU", "cuda": "CUDA", "tensorrt": "TensorRT"}

Result = Mapping[str, Any]


def thread_counts(result: Result) -> list[int]:
    """The numbers of threads that were measured."""
    return sorted({entry["threads"] for entry in result["results"]})


def entries(result: Result, threads: int) -> list[Mapping[str, Any]]:
    """What was measured with that many threads."""
    return [entry for entry in result["results"] if entry["threads"] == threads]


def rows(result: Result, threads: int, *, intervals: bool = False) -> list[list[str]]:
    """A row for each runtime and model: latency and ratios at the smallest batch, the best throughput of all.

    Args:
        result: what `benchmark_bundle` gave.
        threads: one of `thread_counts(result)`.
        intervals: the ratios with their 95 % intervals.
    """
    return [_row(entry, intervals) for entry in entries(result, threads)]


def throughput(result: Result, threads: int) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of images a second by batch size."""
    measured = entries(result, threads)
    batches = sorted({figures["batch"] for entry in measured for figures in entry["batches"]})
    table = []
    for entry in measured:
        by_batch = {figures["batch"]: figures["images_per_second"] for figures in entry["batches"]}
        cells = [NONE if batch not in by_batch else f"{by_batch[batch]:,.0f}" for batch in batches]
        table.append([label(entry["runtime"]), entry["variant"], *cells])
    return ["runtime", "precision", *(f"batch {batch}" for batch in batches)], table


def label(runtime: str) -> str:
    """A runtime's name in tables and pictures: `ORT-CPU` for `onnxruntime-cpu`, `torch-CUDA` for `torch-cuda`."""
    engine, _, device = runtime.partition("-")
    return f"{_ENGINES.get(engine, engine)}-{_DEVICES.get(device, device)}"


def title(result: Result, threads: int) -> str:
    """What a table of `rows` shows."""
    batch = min(result["settings"]["batches"])
    return f"batch {batch}, {threads} thread{'s' * (threads != 1)}"


def machine_lines(result: Result) -> list[str]:
    """What was measured, and on what."""
    machine, student = result["machine"], result["student"]
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(machine["libraries"].items()))
    gpus = "".join(f", {gpu}" for gpu in machine["gpus"])
    height, width, _ = result["image"]
    return [
        f"{student['name']} ({student['architecture']}), images of {height} x {width} pixels",
        f"{machine['processor']}, {machine['cores']} cores{gpus}; {machine['system']}",
        f"Python {machine['python']}, {libraries}",
    ]


def _row(entry: Mapping[str, Any], intervals: bool) -> list[str]:
    first, best = entry["batches"][0], max(entry["batches"], key=lambda figures: figures["images_per_second"])
    ratios = [_ratio(first["times_as_fast_as"][key], intervals) for key in ("torch", "fp32")]
    resident = first["resident_bytes"]
    return [
        label(entry["runtime"]),
        entry["variant"],
        f"{entry['bytes'] / 1e6:.2f}",
        *(f"{first[key]:.2f}" for key in ("p50_ms", "p95_ms", "p99_ms")),
        f"{best['images_per_second']:,.0f} ({best['batch']})",
        _percent(entry["accuracy"]),
        _percent(entry["agreement"]),
        NONE if resident is None else f"{resident / 1e6:,.0f}",
        *ratios,
    ]


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.2f}"


def _ratio(ratio: Mapping[str, float] | None, intervals: bool) -> str:
    if ratio is None:
        return NONE
    bounds: Sequence[float] = (ratio["low"], ratio["high"])
    return f"{ratio['ratio']:.2f}" + (f" ({bounds[0]:.2f} to {bounds[1]:.2f})" if intervals else "")
