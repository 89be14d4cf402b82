"""One row of the matrix: every precision made and proved by the functions that a run goes through."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.matrix.plain import PlainError, run_plain
from benchmarks.matrix.subjects import Subject
from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.artifacts.prove import prove_variant
from exporters.artifacts.variants import make_variant
from exporters.audit import audit_export
from exporters.benchmark.decision import times_as_fast
from exporters.core.errors import GateError, UnavailableError
from exporters.core.files import write_bytes, write_json
from exporters.fp16.plan import plan_fp16
from exporters.onnx.export import export_onnx
from exporters.parity import Evidence, ParityReport, ParityResult
from exporters.parity.gate import DEFAULT_GATES
from exporters.quantize import Calibration
from exporters.quantize.calibration import Method
from exporters.quantize.selection import Network as Layers
from exporters.runtimes import OnnxRuntime, TorchRuntime

FOR_TENSORRT = "int8.trt"
PRECISIONS = ("fp32", "fp16", "int8", FOR_TENSORRT)
_PLAIN_IMAGES = 8


def try_subject(subject: Subject, folder: Path, *, method: Method = "minmax", percentile: float = 99.99) -> dict:
    """Make all four files, prove them, and load them with ONNX Runtime alone.

    Args:
        folder: gets the files and `result.json`.
        method, percentile: of calibration.

    Returns:
        JSON values: about the row, and by precision `status` (`passed`, `rejected`, `not made`), `reason` and figures.
    """
    started = time.perf_counter()
    student = subject.student
    evidence = Evidence(TorchRuntime(student), subject.validation)
    calibration = Calibration(subject.calibration, method, percentile)
    model = export_onnx(student, folder / "model.onnx").path.read_bytes()
    entries = audit_export(model, student)
    report = evidence.report(OnnxRuntime(model), DEFAULT_GATES["fp32"])
    graph = onnx.load_from_string(model)
    files = {"fp32": model}
    row: dict[str, Any] = {
        "name": subject.name,
        "architecture": f"{student.architecture.source}:{student.architecture.name}",
        "size": student.preprocessing.size,
        "parameters": student.parameters,
        "weights": subject.weights,
        "calibration": {"method": method, "percentile": percentile if method == "percentile" else None},
        "images": report.whole.images,
        "accuracy": report.whole.reference_accuracy,
        "batch_norms": sum(node.op_type == "BatchNormalization" for node in graph.graph.node),
        "tensors": len(entries),
        "layers": len(Layers(graph).layers),
        "fp32": {"status": _status(report), "reason": "; ".join(report.failures), **_figures(report.whole, model)},
    }

    def variant(precision: str) -> dict[str, Any]:
        gate = DEFAULT_GATES[VARIANT_KINDS[precision].precision]
        made = make_variant(precision, model, entries, evidence, gate, subject.guiding, calibration=calibration)
        verdict = prove_variant(precision, made.data, model, evidence, gate, subject.guiding, keep_all=True)
        files[precision] = made.data
        found: dict[str, Any] = {"reason": verdict.reason, "trials": made.trials, "kept_float": made.kept_float}
        found["status"] = "passed" if verdict.status == "shipped" else verdict.status
        if verdict.report is not None:
            found.update(_figures(verdict.report.whole, made.data))
        if verdict.speed is not None:
            runtimes = verdict.speed["runtimes"]
            ratio = times_as_fast(runtimes[precision], runtimes["fp32"])
            found["times_as_fast"] = [ratio.ratio, ratio.low, ratio.high]
        return found

    row["fp16"] = {**_made(lambda: variant("fp16")), "nodes": len(plan_fp16(model).fp16)}
    row["int8"] = _made(lambda: variant("int8"))
    row[FOR_TENSORRT] = _made(lambda: variant(FOR_TENSORRT))
    row["plain"] = _plain(files, subject)
    if subject.test is not None:
        row["test"] = _on_test(files, subject)
    row["seconds"] = round(time.perf_counter() - started, 1)
    for precision, data in files.items():
        write_bytes(folder / f"model.{precision}.onnx", data)
    write_json(folder / "result.json", row)
    return row


def _made(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """As the stage `export` does: what cannot be made is said, and does not end the run."""
    try:
        return make()
    except (GateError, UnavailableError) as error:
        return {"status": "not made", "reason": error.message, "kept_float": []}


def _status(report: ParityReport) -> str:
    return "passed" if report.passed else "rejected"


def _figures(whole: ParityResult, data: bytes) -> dict[str, Any]:
    return {
        "bytes": len(data),
        "max_scaled_error": whole.max_scaled_error,
        "mean_scaled_error": whole.mean_scaled_error,
        "agreement": whole.top1_agreement,
        "differing": whole.differing,
        "accuracy": whole.candidate_accuracy,
        "accuracy_drop": whole.accuracy_drop,
    }


def _plain(files: Mapping[str, bytes], subject: Subject) -> dict[str, Any]:
    """The largest difference to what our own runtime gives, of the logits' scale."""
    images = subject.guiding[:_PLAIN_IMAGES]
    try:
        answers = run_plain(files, images)
    except PlainError as error:
        return {"status": "refused", "reason": str(error)}
    errors = {}
    for precision, data in files.items():
        expected = OnnxRuntime(data).predict(images)
        scale = float(np.abs(expected).max()) or 1.0
        errors[precision] = float(np.abs(answers[precision] - expected).max()) / scale
    return {"status": "loaded", "errors": errors}


def _on_test(files: Mapping[str, bytes], subject: Subject) -> dict[str, Any]:
    """Accuracy on the untouched split; it decides nothing."""
    assert subject.test is not None
    evidence = Evidence(TorchRuntime(subject.student), subject.test)
    figures = {}
    for precision, data in files.items():
        result = evidence.compare(OnnxRuntime(data))
        interval = result.accuracy_drop_interval
        figures[precision] = {
            **_figures(result, data), "images": result.images, "interval": None if interval is None else list(interval),
        }  # fmt: skip
    return figures
