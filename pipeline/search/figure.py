"""`front.svg` and `front.png`: accuracy over latency, the size as the area of a mark, the front and the bounds."""

from typing import TYPE_CHECKING

from exporters.core.figure import png_of, reproducible_figure, svg_of
from pipeline.search.outcome import Candidate, Outcome
from pipeline.search.space import Bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The palette of Okabe and Ito (2008), which the colour-blind can tell apart; shapes say the same.
_CHOSEN, _FRONT, _OTHER = ("#D55E00", "D"), ("#0072B2", "o"), ("#767676", "s")
_LARGEST = 260.0  # area of the largest mark, in square points
_SMALLEST = 25.0


def draw(outcome: Outcome, bounds: Bounds, threads: int) -> tuple[bytes, bytes]:
    """The picture as SVG and PNG; the same outcome gives the same bytes.

    Args:
        outcome: with one finished candidate or more.
        bounds: drawn as lines.
        threads: of ONNX Runtime, for the label.
    """
    with reproducible_figure((8.0, 5.0), 160, {"svg.hashsalt": "front"}) as figure:
        _paint(figure.subplots(), outcome, bounds, threads)
        return svg_of(figure).encode(), png_of(figure)


def _paint(axes: "Axes", outcome: Outcome, bounds: Bounds, threads: int) -> None:
    finished = [each for each in outcome.candidates if each.point is not None]
    largest = max(each.point.size for each in finished if each.point is not None)
    labelled: set[str] = set()
    for place, each in enumerate(sorted(finished, key=lambda each: each.point.latency_ms if each.point else 0.0)):
        assert each.point is not None
        kind, (colour, marker) = _kind(each, outcome)
        axes.scatter(
            each.point.latency_ms, 100 * each.point.top1, s=max(_SMALLEST, _LARGEST * each.point.size / largest),
            color=colour, marker=marker, alpha=0.8, label=None if kind in labelled else kind, zorder=3,
        )  # fmt: skip
        labelled.add(kind)
        text = axes.annotate(
            f"{each.name} ({each.point.size / 1e6:.2g} MB)", (each.point.latency_ms, 100 * each.point.top1),
            xytext=(7, 8 if place % 2 else -14), textcoords="offset points", fontsize=7, color=colour,
        )  # fmt: skip
        text.set_parse_math(False)  # a name is no formula, whatever signs are in it
    points = sorted((each.point.latency_ms, 100 * each.point.top1) for each in outcome.front if each.point is not None)
    axes.plot(*zip(*points, strict=True) if points else ((), ()), color=_FRONT[0], linewidth=0.9, alpha=0.5, zorder=2)
    if bounds.latency_ms is not None:
        axes.axvline(bounds.latency_ms, color=_OTHER[0], linestyle="--", linewidth=0.9)
    if bounds.top1:
        axes.axhline(100 * bounds.top1, color=_OTHER[0], linestyle="--", linewidth=0.9)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel(f"latency of one image, ms (median, threads: {threads}); area: size of the file; dashed: bounds")
    axes.set_ylabel("validation top-1, %")
    axes.margins(x=0.25, y=0.12)
    axes.grid(color=_OTHER[0], alpha=0.22, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)


def _kind(each: Candidate, outcome: Outcome) -> tuple[str, tuple[str, str]]:
    if each is outcome.chosen:
        return "chosen", _CHOSEN
    return ("on the front", _FRONT) if each in outcome.front else ("dominated or out of bounds", _OTHER)
