import io
from pathlib import Path
from typing import Any

import pytest

from pipeline.console import Console
from pipeline.report import benchmark
from pipeline.report.benchmark import report_benchmark


@pytest.mark.parametrize("drawn", [True, False])
def test_machine_tables_notes_and_files_are_printed(
    drawn: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result: Any = {"notes": ["int8 was left out."]}
    monkeypatch.setattr(benchmark, "machine_lines", lambda _result: ["8 cores"])
    monkeypatch.setattr(benchmark, "thread_counts", lambda _result: [1, 4])
    monkeypatch.setattr(benchmark, "title", lambda _result, threads: f"{threads} threads")
    monkeypatch.setattr(benchmark, "rows", lambda _result, threads: [["cell"] * len(benchmark.SHORT_COLUMNS)])
    written = ["bench.json", *([benchmark.FIGURE] if drawn else [])]
    stream = io.StringIO()
    report_benchmark(result, tmp_path, written, Console(stream, plain=True))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "8 cores" and [line.split(" (")[0] for line in lines if "threads" in line] == [
        "1 threads", "4 threads"
    ]  # fmt: skip
    assert "WARNING: int8 was left out." in lines
    assert ("WARNING: no figure was drawn: matplotlib is not installed" in lines) is not drawn
    assert lines[-1] == f"{tmp_path}: {', '.join(written)}"
