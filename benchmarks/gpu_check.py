"""All that only a GPU can prove: every provider and every engine there is, built, run and compared with the student.

    python -m benchmarks.gpu_check                      the student of runs/quickstart on its validation images
    python -m benchmarks.gpu_check runs/birds           another run directory
    python -m benchmarks.gpu_check path/to/bundle       a bundle, on its golden images

Each ONNX file of the run runs in ONNX Runtime (CPU, CUDA, TensorRT) and as an engine of TensorRT and of TensorRT for
RTX. The table says of each how far it is from the student, or why it could not run here. Exit code 3 where something
ran and is not the student, 4 without a GPU.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from exporters.artifacts.engines import fit_to_gpu
from exporters.bundle.manifest import GOLDEN_INPUTS, MODEL, read_listed, read_manifest
from exporters.core.errors import GateError, TmkdError, UnavailableError, UsageError
from exporters.core.files import write_bytes, write_json, write_text
from exporters.parity import DEFAULT_GATES, Evidence, ParityGate
from exporters.runtimes import OnnxRuntime, Provider, Runtime, TorchRuntime
from exporters.runtimes.tensorrt import TensorRTRuntime
from exporters.tensorrt import EngineSettings, Flavour, build_engine, find
from exporters.tensorrt.gpu import current_gpu

DEFAULT_RUN = Path("runs/quickstart")
BATCH = 64
PROFILE = (1, 16, BATCH)
PROVIDERS: tuple[Provider, ...] = ("cpu", "cuda", "tensorrt")
FLAVOURS: tuple[Flavour, ...] = ("tensorrt", "tensorrt_rtx")
INT8_FOR_CPUS = "int8 for CPUs"
GATES = {**DEFAULT_GATES, "bf16": ParityGate(1e-1, 0.98, 0.01), INT8_FOR_CPUS: DEFAULT_GATES["int8"]}

Batches = list[tuple[np.ndarray, np.ndarray | None, list[str]]]


@dataclass(frozen=True)
class Source:
    """What is checked: the reference, images, and ONNX files by name, at least `model.onnx`.

    Args:
        on_gpu: makes the reference on the GPU too, where there is one.
    """

    reference: Runtime
    batches: Batches
    models: dict[str, bytes]
    on_gpu: Callable[[], Runtime] | None = None


@dataclass(frozen=True)
class Row:
    """One runtime on one file; `told` is why it failed, or why it did not run."""

    file: str
    precision: str
    runtime: str
    status: str  # passed, failed, not run
    told: str = ""
    max_scaled_error: float | None = None
    agreement: float | None = None
    accuracy_drop: float | None = None


def read_source(path: Path, images: int) -> Source:
    """A run directory with a trained student, or a bundle; at most this many images."""
    if (path / "distill" / "chosen").is_dir():
        return _run_source(path, images)
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder", remedy="`make quickstart` trains a small student.")
    manifest = read_manifest(path)
    models = {name: read_listed(path, manifest, name) for name in manifest["files"] if name.endswith(".onnx")}
    read_listed(path, manifest, GOLDEN_INPUTS)
    with np.load(path / GOLDEN_INPUTS, allow_pickle=False) as golden:
        chosen = golden["image"][:images]
    batches: Batches = [(chosen, None, [f"golden {index}" for index in range(len(chosen))])]
    return Source(OnnxRuntime(models[MODEL]), batches, models)


def _run_source(path: Path, images: int) -> Source:
    from exporters.student.student import load_student
    from pipeline.data.index import DataIndex
    from pipeline.data.loading import Loader
    from pipeline.stages.shared.images import images_of

    student = load_student(path / "distill" / "chosen")
    index = DataIndex.load(path / "data")
    names = index.splits["validation"].paths
    batches: Batches = []
    with Loader(index, index.root, 0) as loader:
        for batch in loader.evaluation_batches("validation", student.preprocessing.geometry, BATCH):
            batches.append((images_of(batch), batch.labels.numpy(), [names[i] for i in batch.indices.tolist()]))
            if sum(len(entry[0]) for entry in batches) >= images:
                break
    files = sorted((path / "export").rglob("*.onnx"))
    models = {str(file.relative_to(path / "export")): file.read_bytes() for file in files}
    if MODEL not in models:
        raise UsageError(f"{path}: has no export/{MODEL}", remedy="Let the run end first.")
    return Source(TorchRuntime(student), batches, models, lambda: TorchRuntime(student, "cuda"))


def precision_of(data: bytes) -> str:
    """A key of `GATES`, read off the file: its quantisation, else the type of most of its weights."""
    graph = onnx.load_model_from_string(data).graph
    scales = {node.input[2] for node in graph.node if node.op_type == "DequantizeLinear" and len(node.input) > 2}
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    if any(node.op_type == "DequantizeLinear" for node in graph.node):
        asymmetric = any(types.get(name) == onnx.TensorProto.UINT8 for name in scales)
        return INT8_FOR_CPUS if asymmetric else "int8"
    names = {onnx.TensorProto.FLOAT: "fp32", onnx.TensorProto.FLOAT16: "fp16", onnx.TensorProto.BFLOAT16: "bf16"}
    sizes = dict.fromkeys(names.values(), 0)
    for tensor in graph.initializer:
        if tensor.data_type in names:
            sizes[names[tensor.data_type]] += int(np.prod(tensor.dims, dtype=np.int64))
    return max(sizes, key=lambda name: sizes[name])


def run(source: Source, folder: Path) -> list[Row]:
    """Everything on everything; engines are written to `folder`."""
    rows = []
    if source.on_gpu is not None:
        rows.append(_row(source, MODEL, "fp32", "torch cuda", source.on_gpu))
    for name, data in source.models.items():
        precision = precision_of(data)
        for runtime, make in _makers(name, data, precision, folder):
            rows.append(_row(source, name, precision, runtime, make))
    return rows


def _makers(name: str, data: bytes, precision: str, folder: Path) -> Iterator[tuple[str, Callable[[], Runtime]]]:
    for provider in PROVIDERS:
        if precision != INT8_FOR_CPUS or provider == "cpu":
            yield f"onnxruntime {provider}", lambda provider=provider: OnnxRuntime(data, provider)  # type: ignore[misc]
    if precision != INT8_FOR_CPUS:
        for flavour in FLAVOURS:
            yield flavour, lambda flavour=flavour: _engine(name, data, precision, flavour, folder)  # type: ignore[misc]


def _engine(name: str, data: bytes, precision: str, flavour: Flavour, folder: Path) -> Runtime:
    library = find(flavour)
    model = folder / name
    write_bytes(model, data)
    built = build_engine(
        model,
        model.with_suffix(f".{flavour}.plan"),
        fit_to_gpu(EngineSettings(PROFILE), library, current_gpu()),
        precision=precision,
        fp32_nodes=_fp32_nodes(data) if precision == "fp16" else (),
        library=library,
    )
    return TensorRTRuntime(built.path, built.sha256, flavour)


def _fp32_nodes(data: bytes) -> set[str]:
    """Nodes of a mixed file that multiply by fp32 weights."""
    graph = onnx.load_model_from_string(data).graph
    floats = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    for node in graph.node:
        if node.op_type == "Cast" and node.attribute[0].i == onnx.TensorProto.FLOAT:
            floats |= set(node.output)
    return {node.name for node in graph.node if floats & set(node.input[1:2])}


def _row(source: Source, file: str, precision: str, runtime: str, make: Callable[[], Runtime]) -> Row:
    try:
        report = Evidence(source.reference, lambda: source.batches).report(make(), GATES[precision])
    except UnavailableError as error:
        return Row(file, precision, runtime, "not run", error.message)
    except GateError as error:
        return Row(file, precision, runtime, "failed", error.message)
    whole = report.whole
    return Row(
        file,
        precision,
        runtime,
        "passed" if report.passed else "failed",
        "; ".join(report.failures),
        whole.max_scaled_error,
        whole.top1_agreement,
        whole.accuracy_drop,
    )


def to_markdown(rows: Sequence[Row], gpu: str, images: int) -> str:
    """The table."""

    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    lines = [
        f"Compared with the student on {images:,} images; GPU: {gpu}.",
        "",
        "| file | precision | runtime | | max error of the scale | top-1 agreement | accuracy drop | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row.file, row.precision, row.runtime, row.status]
        cells += [number(row.max_scaled_error, ".1e"), number(row.agreement, ".5f"), number(row.accuracy_drop, "+.5f")]
        lines.append(f"| {' | '.join([*cells, row.told.replace('|', '/')])} |")
    return "\n".join(lines) + "\n"


def missing() -> list[str]:
    """What this machine lacks of all that could be checked."""
    lacks = [] if current_gpu() else ["an NVIDIA GPU that torch can use"]
    try:
        import onnxruntime

        providers = onnxruntime.get_available_providers()
    except ImportError:
        providers = []
    for provider in ("CUDAExecutionProvider", "TensorrtExecutionProvider"):
        if provider not in providers:
            lacks.append(f"ONNX Runtime's {provider}")
    for flavour in FLAVOURS:
        try:
            find(flavour)
        except UnavailableError as error:
            lacks.append(error.message)
    return lacks


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, print the table, and leave with the exit code that fits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", default=DEFAULT_RUN, help="a run directory or a bundle")
    parser.add_argument("--images", type=int, default=2000, help="at most this many")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-check"), help="for the table and the engines")
    chosen = parser.parse_args(arguments)
    try:
        _check(chosen.source, chosen.images, chosen.out)
    except TmkdError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def _check(path: Path, images: int, out: Path) -> None:
    gpu = current_gpu()
    if gpu is None:
        raise UnavailableError(
            f"nothing to check here; missing: {'; '.join(missing())}",
            remedy="On a machine with an NVIDIA GPU: make install EXTRA=gpu, then make gpu-check.",
        )
    source = read_source(path, images)
    rows = run(source, out / "engines")
    table = to_markdown(rows, gpu.name, sum(len(batch[0]) for batch in source.batches))
    record: dict[str, Any] = {"gpu": asdict(gpu), "missing": missing(), "rows": [asdict(row) for row in rows]}
    write_json(out / "gpu-check.json", record)
    write_text(out / "gpu-check.md", table)
    sys.stdout.write(table)
    failed = [f"{row.runtime} on {row.file}" for row in rows if row.status == "failed"]
    if failed:
        raise GateError(f"not the student: {', '.join(failed)}")


if __name__ == "__main__":
    main()
