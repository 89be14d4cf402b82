"""Figures of matplotlib whose bytes follow from what is drawn alone: not from a person's own style, date or version."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN_STYLE: dict[str, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
"""Settings of every figure."""


@contextmanager
def reproducible_figure(
    size: tuple[float, float], dpi: int, settings: dict[str, Any] | None = None
) -> Iterator["Figure"]:
    """An empty figure that is not shown, under matplotlib's own style and `PLAIN_STYLE`; drawn and saved in the block.

    Args:
        size: width and height in inches.
        dpi: pixels an inch.
        settings: of matplotlib, by name; they override `PLAIN_STYLE`. An SVG needs `svg.hashsalt`.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a person's own style would change the bytes
        own: Any = {**PLAIN_STYLE, **(settings or {})}  # matplotlib's type has a name for each key
        matplotlib.rcParams.update(own)
        figure = Figure(figsize=size, dpi=dpi, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def png_of(figure: "Figure", **options: Any) -> bytes:
    """The figure as PNG; `options` are of `savefig`."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None}, **options)
    return stream.getvalue()


def svg_of(figure: "Figure", **options: Any) -> str:
    """The figure as SVG; `options` are of `savefig`."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None}, **options)
    return stream.getvalue()
