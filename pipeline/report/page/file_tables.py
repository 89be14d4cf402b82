"""The tables of the exported files: what became of each, where it deviates first, and how fast it is."""

from collections.abc import Iterator, Mapping
from typing import Any

from exporters.artifacts.status import Status
from pipeline.report.page.facts import Facts
from pipeline.report.page.table import Table

_GROUPS = {"engines": "engine", "openvino": "OpenVINO"}
"""Keys of `parity.json` that hold reports by precision, and what such files are called."""


def file_tables(facts: Facts) -> Iterator[tuple[str, Table]]:
    """Parity and speed, each with the name of the place where it stands, as far as they are known."""
    if facts.parity is not None:
        columns = ["file", "", "same top-1 class, %", "accuracy lost, points", "largest error / scale", "why"]
        rows = list(_parity_rows(facts.parity))
        title = "Each exported file against the student, on the validation images"
        yield "parity", Table(title, columns, rows, names=2)
        if found := list(_deviations(facts.parity)):
            columns = ["file", "node", "operator", "error / scale", "the last value that agrees"]
            title = "The first node of a rejected file whose values differ from model.onnx by more than its gate allows"
            yield "deviations", Table(title, columns, found, names=3)
    if rows := list(_speed_rows(facts)):
        batch = "" if facts.benchmark is None else f" at batches of {facts.benchmark['batch']}"
        yield (
            "speed",
            Table(
                f"Latency of one image and images a second{batch}, on this machine",
                ["runtime", "median, ms", "95th percentile, ms", "images a second"],
                rows,
            ),
        )


def _speed_rows(facts: Facts) -> Iterator[list[str]]:
    """What ships, then the files that were timed and do not, beside fp32 in the same rounds."""
    if facts.benchmark is not None:
        for name, each in facts.benchmark["runtimes"].items():
            yield _speed_row(name, each)
    for name, report in (facts.parity or {}).items():
        speed = report.get("speed")
        if speed is not None and report.get("status") != Status.SHIPPED:
            for timed, each in speed["runtimes"].items():
                with_it = f"{_file(timed)} beside {_file(name)}" if timed != name else f"{_file(name)} (does not ship)"
                yield _speed_row(with_it, each)


def _speed_row(name: str, figures: Mapping[str, Any]) -> list[str]:
    return [name, f"{figures['p50_ms']:.3f}", f"{figures['p95_ms']:.3f}", f"{figures['images_per_second']:,.0f}"]


def _parity_rows(parity: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, report in parity.items():
        if name in _GROUPS:
            for precision, each in report.items():
                yield _artifact_row(f"{_GROUPS[name]} {precision}", each)
        else:
            yield _artifact_row(_file(name), report)


def _file(name: str) -> str:
    return "model.onnx" if name == "fp32" else f"model.{name}.onnx"


def _artifact_row(name: str, report: Mapping[str, Any]) -> list[str]:
    whole = report.get("whole") or {}
    status = report.get("status", Status.SHIPPED if report.get("passed") else Status.REJECTED)
    reason = report.get("reason") or "; ".join(report.get("failures", ()))
    agreement, lost, error = (whole.get(key) for key in ("top1_agreement", "accuracy_drop", "max_scaled_error"))
    return [
        name,
        str(status),
        "" if agreement is None else f"{100 * agreement:.3f}",
        "" if lost is None else f"{100 * lost:+.3f}",
        "" if error is None else f"{error:.1e}",
        reason,
    ]


def _deviations(parity: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, report in parity.items():
        found = report.get("first_deviation")
        if found is not None:
            before = found["before"]
            agrees = "none" if before is None else f"{before['tensor']} ({before['scaled_error']:.1e})"
            error = "not finite" if found["scaled_error"] is None else f"{found['scaled_error']:.1e}"
            yield [_file(name), found["node"], found["operator"], error, agrees]
