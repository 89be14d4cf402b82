"""`benchmark.md`: a benchmark for people."""

from collections.abc import Iterator

from exporters.benchmark.table import COLUMNS, Result, machine_lines, rows, thread_counts, throughput, title
from exporters.core.markdown import markdown_table


def to_markdown(result: Result, *, figure: str | None = None) -> str:
    """The whole document; the same figures give the same text.

    Args:
        result: what `benchmark_bundle` gave.
        figure: the name of the picture's file; None without one.
    """
    return "\n".join(_document(result, figure)) + "\n"


def _document(result: Result, figure: str | None) -> Iterator[str]:
    yield f"# Benchmark: {result['student']['name']}\n"
    yield from (f"- {line}" for line in machine_lines(result))
    yield ""
    if figure is not None:
        yield f"![Latency, and throughput by batch size]({figure})\n"
    for threads in thread_counts(result):
        heading = title(result, threads)
        yield f"## {heading[:1].upper()}{heading[1:]}\n"
        yield from markdown_table(COLUMNS, rows(result, threads, intervals=True), 2)
        yield "\nImages a second by batch size:\n"
        yield from markdown_table(*throughput(result, threads), 2)
        yield ""
    if result["notes"]:
        yield "## Left out\n"
        yield from (f"- {note[:1].upper()}{note[1:]}." for note in result["notes"])
        yield ""
    yield "## How to read this\n"
    yield (
        "Latencies are of one call, its input and output in the memory of the processor. Runtimes took turns, in orders"
        " in which each follows every other equally often; each is alone in a process, whose resident memory is given"
        " (that of a GPU is not in it). *vs torch* and *vs fp32* tell how many times as fast a runtime is as torch"
        " eager on the same device, and as `model.onnx` on the same provider: the ratio of the medians, with the 95 %"
        " interval of a bootstrap over rounds. Accuracy and agreement with the student are those of the bundle's"
        " `parity.json`. A 99th percentile of a few hundred calls rests on a handful of them."
    )
