"""A benchmark on the terminal."""

from collections.abc import Sequence
from pathlib import Path

from exporters.benchmark.report import FIGURE
from exporters.benchmark.table import SHORT_COLUMNS, Result, machine_lines, rows, thread_counts, title
from pipeline.console import Console

_HOW_TO_READ = "images/s at the best batch; top-1 and agreement in %; ×: how many times as fast"


def report_benchmark(result: Result, folder: Path, written: Sequence[str], console: Console) -> None:
    """Print what was measured on what, a table for each number of threads, what was left out, and where files are."""
    for line in machine_lines(result):
        console.say(line)
    for threads in thread_counts(result):
        console.table(f"{title(result, threads)} ({_HOW_TO_READ})", SHORT_COLUMNS, rows(result, threads), words=2)
    for note in result["notes"]:
        console.warn(note)
    if FIGURE not in written:
        console.warn("no figure was drawn: matplotlib is not installed")
    console.say(f"{folder}: {', '.join(written)}")
