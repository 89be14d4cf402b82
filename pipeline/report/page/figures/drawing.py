"""What all figures share: size, type and colours, and how a figure becomes SVG and PNG."""

import io
import re
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito (2008), which the colour-blind can tell apart; grey and black aside.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#E69F00", "#8B5A99", "#7A7A7A", "#A52A2A")
"""Mid tones, which stand out on white as on black."""

INK = "#1a1b1c"
"""Text and lines. In SVG it becomes the colour of the text around, so that it fits a light and a dark page."""

_FONT = "DejaVu Sans"
_FALLBACKS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Arial Unicode MS", "Segoe UI", "Apple Color Emoji")

WIDTH = 7.2
"""Inches."""

_DPI = 160


@dataclass(frozen=True)
class Drawn:
    """A figure in both formats.

    Attributes:
        name: of its files, without suffix.
        svg: the element `<svg>` to be put into a page; text stays text, in the page's colour.
        file: the same as a file of its own.
        png: bytes.
    """

    name: str
    svg: str
    file: str
    png: bytes


def draw(name: str, height: float, paint: Callable[["Figure"], None], width: float = WIDTH) -> Drawn:
    """Make a figure; the same numbers give the same bytes.

    Args:
        name: of its files, without suffix; in the figure's internal names too, so that two fit into one page.
        height, width: inches.
        paint: draws on it.
    """
    import matplotlib
    from matplotlib import font_manager
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = {font.name for font in font_manager.fontManager.ttflist}
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()  # a person's own style would change the bytes
        own = {"svg.hashsalt": name, "font.family": [_FONT, *(font for font in _FALLBACKS if font in known)]}
        settings: Any = {**_STYLE, **own}  # matplotlib's type has a name for each key
        matplotlib.rcParams.update(settings)
        figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", facecolor="white", metadata={"Software": None})
    return Drawn(name, _for_page(svg.getvalue(), name), svg.getvalue(), png.getvalue())


_STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "image.interpolation": "nearest",
    "figure.constrained_layout.w_pad": 0.08,
} | dict.fromkeys(
    ["text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"], INK
)


def plain_text(axes: "Axes") -> None:
    """Take names as they are: a dollar sign in one begins no formula."""
    for text in [*axes.get_xticklabels(), *axes.get_yticklabels(), *axes.texts, axes.title]:
        text.set_parse_math(False)
    legend = axes.get_legend()
    for text in [] if legend is None else legend.get_texts():
        text.set_parse_math(False)


def shortened(name: str, most: int = 26) -> str:
    """A name on one line of a figure."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def on_lines(name: str, most: int = 20) -> str:
    """A name on two lines of a figure at most."""
    return "\n".join(textwrap.wrap(name, most, max_lines=2, placeholder=" …", break_on_hyphens=False))


def panels(figure: "Figure", count: int, **options: Any) -> "list[Axes]":
    """Axes side by side, two rows where there are four and more."""
    columns = count if count <= 3 else 2 if count == 4 else 3
    grid = figure.subplots(-(-count // columns), columns, squeeze=False, **options)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    return list(grid.flat[:count])


def rows_of_panels(count: int) -> int:
    """Of `panels`."""
    return 1 if count <= 3 else 2 if count == 4 else -(-count // 3)


def _for_page(svg: str, name: str) -> str:
    """The element alone, of any width, in the page's colour, with internal names of its own."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r'(<svg[^>]*?) width="[\d.]+pt" height="[\d.]+pt"', r"\1", element, count=1)
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    seen: dict[str, int] = {}

    def own(found: "re.Match[str]") -> str:
        # matplotlib numbers its groups (`axes_1`) in every figure alike, and names images by their content.
        seen[found[1]] = seen.get(found[1], 0) + 1
        again = f"-{seen[found[1]]}" if seen[found[1]] > 1 else ""
        return f'id="{name}-{found[1]}{again}"'

    element = re.sub(r'\bid="([^"]+)"', own, element)
    element = re.sub(r'"#([^"]+)"', lambda found: f'"#{name}-{found[1]}"' if found[1] in seen else found[0], element)
    element = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", element)
    return element.replace(INK, "currentColor")
