"""`compare.png`: the accuracy of every arm, and next to it the difference of each from its reference."""

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.core.figure import png_of, reproducible_figure
from pipeline.comparison.analysis import ArmFigures, ablations, main_arms
from pipeline.comparison.results import Which
from pipeline.comparison.text import points
from pipeline.evaluation.paired import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito (2008), which the colour-blind can tell apart; shapes say the same.
_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#767676"

_STUDENTS: dict[Which, tuple[str, str, str, float]] = {
    "chosen": ("test, chosen epoch", _BLUE, "o", -0.17),
    "final": ("test, last epoch", _ORANGE, "D", 0.17),
}
_VERDICTS: dict[Verdict, tuple[str, str]] = {
    "better": (_GREEN, ">"),
    "worse": (_ORANGE, "<"),
    "not distinguishable": (_GREY, "o"),
}

WIDTH, _ROW, _FRAME, _DPI = 10.0, 0.36, 1.65, 200
_LONGEST_LINE = 38


def draw_png(figures: tuple[ArmFigures, ...]) -> bytes:
    """The picture as PNG, 2,000 pixels wide, one row an arm; the same figures give the same bytes.

    As of `paint`.
    """
    with reproducible_figure((WIDTH, height(figures)), _DPI) as figure:
        paint(figure, figures)
        return png_of(figure)


def height(figures: tuple[ArmFigures, ...]) -> float:
    """Of the picture, in inches."""
    return _FRAME + _ROW * len(_rows(figures))


def paint(figure: "Figure", figures: tuple[ArmFigures, ...]) -> None:
    """Draw the picture.

    Left: test accuracy, the mean over seeds with its 95 % interval, chosen and last epoch, each seed a small dot.
    Right: the paired difference of the chosen epoch with its 95 % interval, left out where no arm has a reference.
    """
    rows = _rows(figures)
    paired = any(each.paired is not None for each in figures)
    axes = figure.subplots(1, 2 if paired else 1, sharey=True, squeeze=False, width_ratios=[1.25, 1][: 1 + paired])
    left = axes[0, 0]
    _draw_accuracies(left, rows)
    _label_rows(left, rows)
    if paired:
        _draw_differences(axes[0, 1], rows)
    for panel in axes[0]:
        _frame(panel, rows)


def paint_differences_to_plain(figure: "Figure", figures: tuple[ArmFigures, ...]) -> None:
    """Draw the paired difference of the chosen epoch to plain training, with its 95 % interval."""
    rows = _rows(figures)
    axes = figure.subplots()
    _label_rows(axes, rows)
    _draw_differences(axes, rows, to_plain=True)
    _frame(axes, rows)


def _frame(axes: "Axes", rows: list[ArmFigures | str]) -> None:
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color=_GREY, alpha=0.22, linewidth=0.8)
    axes.set_axisbelow(True)


def _rows(figures: tuple[ArmFigures, ...]) -> list[ArmFigures | str]:
    """The arms from the top, and the headings of ablations."""
    rows: list[ArmFigures | str] = list(main_arms(figures))
    for base, group in ablations(figures).items():
        rows += [f"ablation on {base}", *group]
    return rows


def _label_rows(axes: "Axes", rows: list[ArmFigures | str]) -> None:
    axes.set_yticks(range(len(rows)), [_wrapped(row if isinstance(row, str) else row.arm.name) for row in rows])
    axes.tick_params(axis="y", length=0)
    for row, label in zip(rows, axes.get_yticklabels(), strict=True):
        label.set_fontweight("bold" if isinstance(row, str) else "normal")
        label.set_parse_math(False)  # a name is no formula, whatever signs are in it


def _wrapped(name: str) -> str:
    """A name on two lines at most."""
    lines = textwrap.wrap(name, _LONGEST_LINE, max_lines=2, placeholder=" …", break_on_hyphens=False)
    return "\n".join(lines)


def _draw_accuracies(axes: "Axes", rows: list[ArmFigures | str]) -> None:
    for which, (label, colour, marker, offset) in _STUDENTS.items():
        named: str | None = label
        for position, row in enumerate(rows):
            if isinstance(row, str):
                continue
            spread, y = row.test[which], position + offset
            seeds = [100 * result.test[which] for result in row.arm.seeds]
            axes.plot(
                seeds, [y] * len(seeds), linestyle="none", marker="o", markersize=4.2, color=colour,
                markeredgecolor="white", markeredgewidth=0.7, zorder=3,
            )  # fmt: skip
            axes.errorbar(
                100 * spread.mean, y, xerr=_ends(row, which), label=named, color=colour,
                marker=marker, markersize=6.5 if marker == "o" else 5.5, elinewidth=1.4, capsize=3,
                markerfacecolor=colour if which == "chosen" else "white", zorder=4,
            )  # fmt: skip
            named = None
    axes.set_xlabel("test top-1, % (mean, 95 % interval; dots: seeds)")
    axes.margins(x=0.06)
    _legend(axes)


def _ends(row: ArmFigures, which: Which) -> np.ndarray:
    """Of the interval, `[2, 1]`, in points below and above the mean."""
    low, high = row.interval[which]
    mean = row.test[which].mean
    ends: np.ndarray = 100 * np.array([[mean - low], [high - mean]]).clip(min=0)
    return ends


def _draw_differences(axes: "Axes", rows: list[ArmFigures | str], to_plain: bool = False) -> None:
    axes.axvline(0, color=_GREY, linewidth=1)
    drawn: set[Verdict] = set()
    beside = axes.get_yaxis_transform()  # across: the panel's width; down: rows
    for position, row in enumerate(rows):
        differences = None if isinstance(row, str) else row.plain if to_plain else row.paired
        if differences is None:
            continue
        paired = differences["chosen"]
        colour, marker = _VERDICTS[paired.verdict]
        low, high = paired.interval
        axes.plot([100 * low, 100 * high], [position] * 2, color=colour, linewidth=1.8, solid_capstyle="butt")
        axes.plot(100 * paired.mean, position, **_mark(colour, marker))
        drawn.add(paired.verdict)
        axes.text(1.02, position, points(paired.mean), transform=beside, va="center", ha="left", color=colour)
    other = "plain training" if to_plain else "its reference"
    axes.set_xlabel(f"difference to {other}, points (95 % interval)")
    axes.margins(x=0.06)
    axes.tick_params(axis="y", length=0)
    for verdict in (verdict for verdict in _VERDICTS if verdict in drawn):
        colour, marker = _VERDICTS[verdict]
        axes.plot([], [], label=verdict, **_mark(colour, marker))
    _legend(axes)


def _mark(colour: str, marker: str) -> dict[str, Any]:
    return {
        "linestyle": "none", "color": colour, "marker": marker, "markersize": 8,
        "markerfacecolor": "white" if marker == "o" else colour,
    }  # fmt: skip


def _legend(axes: "Axes") -> None:
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderpad=0.2, borderaxespad=0.2,
        handlelength=1.6, handletextpad=0.4, columnspacing=1.2,
    )  # fmt: skip
