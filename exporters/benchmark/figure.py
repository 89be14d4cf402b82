"""`benchmark.png`: latency of every runtime, and beside it throughput by batch size."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exporters.benchmark.table import Result, entries, label, thread_counts, title
from exporters.core.figure import png_of, reproducible_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The palette of Okabe and Ito (2008), which the colour-blind can tell apart; markers tell the same.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#767676", "#000000")
_MARKERS = "osD^v<>P"
_WIDTH, _ROW, _FRAME, _DPI = 10.0, 0.34, 1.6, 200


def draw_png(result: Result) -> bytes:
    """The picture as PNG, 2,000 pixels wide, one row of two panels for each number of threads.

    Left: the median latency at the smallest batch, with a line up to the 95th percentile. Right: images a second by
    batch size, both axes logarithmic. The same figures give the same bytes.
    """
    threads = thread_counts(result)
    names = list(dict.fromkeys(_name(entry) for entry in result["results"]))
    height = sum(_FRAME + max(3, len(entries(result, count))) * _ROW for count in threads)
    with reproducible_figure((_WIDTH, height), _DPI) as figure:
        panels = figure.subplots(len(threads), 2, squeeze=False)
        for (left, right), count in zip(panels, threads, strict=True):
            _draw_latencies(left, entries(result, count), names)
            left.set_title(title(result, count), loc="left", fontsize=9, fontweight="bold")
            _draw_throughput(right, entries(result, count), names)
        return png_of(figure)


def _name(entry: Mapping[str, Any]) -> str:
    return f"{label(entry['runtime'])} {entry['variant']}"


def _draw_latencies(axes: "Axes", measured: list[Mapping[str, Any]], names: list[str]) -> None:
    for position, entry in enumerate(measured):
        first = entry["batches"][0]
        p50, p95 = first["p50_ms"], first["p95_ms"]
        colour = _COLOURS[names.index(_name(entry)) % len(_COLOURS)]
        axes.barh(position, p50, height=0.62, color=colour)
        axes.plot([p50, p95], [position] * 2, color="black", linewidth=1.2)
        axes.text(p95, position, f" {p50:.2f}", va="center", ha="left")
    axes.set_yticks(range(len(measured)), [_name(entry) for entry in measured])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(measured) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.margins(x=0.15)
    axes.set_xlabel("ms a call: median, and line to the 95th percentile")


def _draw_throughput(axes: "Axes", measured: list[Mapping[str, Any]], names: list[str]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ticks: set[int] = set()
    for entry in measured:
        number = names.index(_name(entry))
        batches = [figures["batch"] for figures in entry["batches"]]
        ticks.update(batches)
        axes.plot(
            batches,
            [figures["images_per_second"] for figures in entry["batches"]],
            label=_name(entry),
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=5,
            linewidth=1.4,
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False, fontsize=8, loc="best")
    axes.set_xticks(sorted(ticks), [str(batch) for batch in sorted(ticks)])
    axes.set_xlabel("images a call")
    axes.set_ylabel("images a second")
    axes.grid(color="#E3E3E3", linewidth=0.8)
    axes.set_axisbelow(True)
