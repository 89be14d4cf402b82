"""The rows as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.matrix.trial import FOR_TENSORRT, PRECISIONS

_HEADER = ("network", "px", "weights", "top-1", "fp32", "fp16", "int8", FOR_TENSORRT)

_CLEAR = 1.5  # between the ends of an interval that tells something


def to_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of all rows, a line under it for each file that did not pass, and the accuracies on test splits."""
    lines = [" | ".join(_HEADER), "|".join("---" for _ in _HEADER)]
    notes = []
    for row in rows:
        accuracy = "" if row["accuracy"] is None else f"{100 * row['accuracy']:.1f}"
        about = [_name(row), str(row["size"]), row["weights"], accuracy]
        cells = [_fp32(row["fp32"]), _variant(row, "fp16"), _variant(row, "int8"), _tensorrt(row)]
        lines.append(" | ".join([*about, *cells]))
        failed = [key for key in PRECISIONS if row[key]["status"] != "passed"]
        notes += [f"- {about[0]}, {key}, {row[key]['status']}: {row[key]['reason']}" for key in failed]
        if row["plain"]["status"] != "loaded":
            notes.append(f"- {about[0]} does not load in plain ONNX Runtime: {row['plain']['reason']}")
    table = "\n".join(f"| {line} |" for line in lines)
    return "\n\n".join(part for part in (table, "\n".join(notes), _tests(rows)) if part)


def _fp32(found: Mapping[str, Any]) -> str:
    if found["status"] != "passed":
        return f"**{found['status']}**"
    return f"{found['bytes'] / 1e6:.2f} MB, {found['max_scaled_error']:.0e}"


def _name(row: Mapping[str, Any]) -> str:
    """The row's name, and the method of calibration where it is not the default."""
    method = row["calibration"]["method"]
    return str(row["name"]) if method == "minmax" else f"{row['name']} ({method})"


def _variant(row: Mapping[str, Any], key: str) -> str:
    found = row[key]
    if found["status"] != "passed":
        return f"**{found['status']}**"
    told = f"{found['max_scaled_error']:.0e}" if key == "fp16" else f"{100 * found['agreement']:.1f} %"
    kept = f"{len(found['kept_float'])} float"
    return f"{found['bytes'] / 1e6:.2f} MB, {told}, {kept}, {_speed(*found['times_as_fast'])}"


def _speed(ratio: float, low: float, high: float) -> str:
    """With its interval, or only that nothing can be told: a busy machine."""
    return f"{ratio:.2f}× ({low:.2f} to {high:.2f})" if high < _CLEAR * low else "?"


def _tensorrt(row: Mapping[str, Any]) -> str:
    found = row[FOR_TENSORRT]
    if found["status"] != "passed":
        return f"**{found['status']}**"
    return f"{100 * found['agreement']:.1f} %, {len(found['kept_float'])} float"


def _tests(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for row in rows:
        for key, found in row.get("test", {}).items():
            low, high = found["interval"]
            cells = [
                _name(row),
                key if row[key]["status"] == "passed" else f"{key} ({row[key]['status']})",
                f"{found['images']:,}",
                f"{100 * found['accuracy']:.2f}",
                f"{100 * found['accuracy_drop']:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})",
                str(found["differing"]),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    if not lines:
        return ""
    header = "| test split | file | images | top-1 | drop in points (95 %) | other answers |"
    return "\n".join([header, "|---|---|---|---|---|---|", *lines])
