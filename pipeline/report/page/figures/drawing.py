"""What all figures share: size, type and colours, and how a figure becomes SVG and PNG."""

import re
import textwrap
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from rich.cells import cell_len, set_cell_size

from exporters.core.figure import png_of, reproducible_figure, svg_of
from exporters.core.visible import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito (2008), which the colour-blind can tell apart; grey and black aside.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#E69F00", "#8B5A99", "#7A7A7A", "#A52A2A")
"""Mid tones, which stand out on white as on black."""

INK = "#1a1b1c"
"""Text and lines. In SVG it becomes the colour of the text around, so that it fits a light and a dark page."""

_FONT = "DejaVu Sans"

WIDTH = 7.2
"""Inches."""

_DPI = 160


_NO_GLYPH = re.compile(r"Glyph (\d+) .* missing from")


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


def draw(name: str, height: float, paint: Callable[["Figure"], None], width: float = WIDTH, alt: str = "") -> Drawn:
    """Make a figure; the same numbers give the same bytes.

    Characters that the usual font lacks are taken from other fonts of this machine. Where none has them, the PNG says
    so at its foot; in the SVG, text is text, and the reader's fonts show it.

    Args:
        name: of its files, without suffix; in the figure's internal names too, so that two fit into one page.
        height, width: inches.
        paint: draws on it; called again where other fonts are needed.
        alt: what the figure shows, with its main numbers, for those who cannot see it.
    """
    svg, png, missing = _saved(name, (width, height), paint, [_FONT])
    if missing:
        families = [_FONT, *families_with(missing)]
        svg, png, missing = _saved(name, (width, height), paint, families)
        if missing:
            svg, png, missing = _saved(name, (width, height), paint, families, footnote=True)
    return Drawn(name, _for_page(svg, name, alt), svg, png)


def _saved(
    name: str,
    size: tuple[float, float],
    paint: Callable[["Figure"], None],
    families: list[str],
    footnote: bool = False,
) -> tuple[str, bytes, frozenset[int]]:
    """A figure as SVG and as PNG, and the code points that none of the fonts has."""
    settings = {**_STYLE, "svg.hashsalt": name, "font.family": families}
    with warnings.catch_warnings(record=True) as caught, reproducible_figure(size, _DPI, settings) as figure:
        warnings.filterwarnings("always", message="Glyph .* missing from")
        paint(figure)
        svg = svg_of(figure, transparent=True)
        if footnote:
            figure.supxlabel(_BOXES, fontsize=6)
        png = png_of(figure, facecolor="white")
    missing = set()
    for each in caught:
        if match := _NO_GLYPH.match(str(each.message)):
            missing.add(int(match[1]))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    return svg, png, frozenset(missing)


_BOXES = "Boxes stand for characters that no font on this machine has; the SVG file shows them."


def families_with(points: frozenset[int]) -> list[str]:
    """Font families of this machine that have the code points, as far as any has them; each has some that those before
    it lack."""
    from matplotlib import font_manager

    fonts = font_manager.fontManager
    known = {font.fname for font in fonts.ttflist}  # a list that may be older than the fonts are
    new = [file for file in font_manager.findSystemFonts() if file not in known]
    files = sorted([*known, *new], key=lambda file: ("regular" not in file.lower(), file))
    left, found = set(points), []
    for file in files:
        if left and (has := left & _code_points(file)):
            if file not in known:
                fonts.addfont(file)
            family = next(font.name for font in reversed(fonts.ttflist) if font.fname == file)
            if not family.startswith(_NOT_FOR_TEXT):
                found.append(family)
                left -= has
    return found


_NOT_FOR_TEXT = ("Last Resort", "Noto Color", "Apple Color", "Segoe UI Emoji")
"""Fonts that claim to have everything, and those of pictures, which matplotlib cannot draw."""


@cache
def _code_points(file: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


_STYLE: dict[str, Any] = {
    "axes.titlesize": 9.5,
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
    """A name on one line of a figure, no wider than `most` letters; those of Chinese and its like count as two."""
    name = on_one_line(name)
    if cell_len(name) <= most:
        return name
    return f"{_cut(name, most - 1)}…"


def on_lines(name: str, most: int = 20) -> str:
    """A name on two lines of a figure at most, each no wider than `most` letters."""
    lines = textwrap.wrap(on_one_line(name), most, max_lines=2, placeholder=" …", break_on_hyphens=False)
    return "\n".join(shortened(line, most) for line in lines)


def on_one_line(name: str) -> str:
    """A name as it may stand in a picture: control characters and those that turn the direction written out."""
    return visible(" ".join(name.split()))


def _cut(name: str, most: int) -> str:
    """The beginning of a name, no wider than that; accents and joined signs stay with their letter."""
    kept = set_cell_size(name, most).rstrip()
    while kept and len(kept) < len(name) and _belongs_to_the_letter_before(name[len(kept)], kept[-1]):
        kept = kept[:-1]
    return kept


def _belongs_to_the_letter_before(letter: str, before: str) -> bool:
    return bool(unicodedata.combining(letter)) or letter in _JOINERS or before == "\u200d"


_JOINERS = "\u200d\ufe0e\ufe0f" + "".join(map(chr, range(0x1F3FB, 0x1F400)))
"""Zero-width joiner, variation selectors, skin tones."""


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


def _for_page(svg: str, name: str, alt: str) -> str:
    """The element alone, of any width, in the page's colour, with internal names of its own; one picture to a screen
    reader where there is a text in its place."""
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
    if alt:
        element = element.replace("<svg", f'<svg role="img" aria-label={quoteattr(visible(alt))}', 1)
    return element.replace(INK, "currentColor")
