"""The picture: its size, its bytes, and that no text lies on another."""

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.comparison.analysis import analyse
from pipeline.comparison.figure import draw_png
from pipeline.comparison.results import Comparison
from tests.pipeline.comparison.examples import large_comparison

matplotlib = pytest.importorskip("matplotlib")


def picture(comparison: Comparison) -> Image.Image:
    return Image.open(io.BytesIO(draw_png(analyse(comparison))))


def many_arms(count: int) -> Comparison:
    """Arms under long names, some with signs that mean something in formulas."""
    comparison = large_comparison(2)
    longer = [
        replace(comparison.arms[index % 12], name=f"{comparison.arms[index % 12].name}, $variant_{index}$ of many more")
        for index in range(count - 12)
    ]
    return replace(comparison, arms=(*comparison.arms, *longer))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are drawn."""
    from matplotlib.figure import Figure

    found: list[Any] = []
    original = Figure.savefig

    def savefig(self: Any, *arguments: Any, **options: Any) -> None:
        found.append(self)
        original(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return found


CASES = {
    "one arm": lambda: replace(large_comparison(3), arms=large_comparison(3).arms[:1]),
    "one seed": lambda: large_comparison(1),
    "twelve arms": lambda: large_comparison(3),
    "thirty arms": lambda: many_arms(30),
}


def texts(figure: Any) -> Iterator[Any]:
    """Every text that is seen, with its place."""
    from matplotlib.text import Text

    renderer = figure.canvas.get_renderer()
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text():
            yield text.get_text(), text.get_window_extent(renderer)


@pytest.mark.parametrize("case", CASES)
def test_texts_lie_inside_and_do_not_overlap(case: str, drawn: list[Any]) -> None:
    picture(CASES[case]())
    (figure,) = drawn
    width, height = figure.canvas.get_width_height()
    # Tick labels beyond the limits of an axis are made and not drawn.
    seen = [
        (text, box)
        for text, box in texts(figure)
        if not any(text in _beyond(axis) for axes in figure.axes for axis in (axes.xaxis,))
    ]
    boxes = {(text, round(box.x0), round(box.y0)): box for text, box in seen}
    for (text, _x, _y), box in boxes.items():
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, text
    values = list(boxes.items())
    for index, (first, box) in enumerate(values):
        for second, other in values[index + 1 :]:
            assert not box.overlaps(other), (first, second)


def _beyond(axis: Any) -> set[str]:
    low, high = sorted(axis.get_view_interval())
    return {tick.label1.get_text() for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}


@pytest.mark.parametrize("case", CASES)
def test_the_width_is_the_same_and_the_height_grows(case: str) -> None:
    comparison = CASES[case]()
    image = picture(comparison)
    assert image.width == 2000
    headings = len({arm.base for arm in comparison.arms if arm.ablates})
    assert image.height == round(200 * (1.65 + 0.36 * (len(comparison.arms) + headings)))
    assert np.asarray(image.convert("L")).min() < 60  # something is drawn


def test_user_style_neither_affects_the_figure_nor_changes() -> None:
    figures = analyse(replace(large_comparison(2), arms=large_comparison(2).arms[:6]))
    before = draw_png(figures)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "savefig.dpi": 40}):
        assert draw_png(figures) == before
        assert matplotlib.rcParams["font.size"] == 20
    backend = os.environ.get("MPLBACKEND")
    assert draw_png(figures) == before and os.environ.get("MPLBACKEND") == backend


def test_the_bytes_hold_neither_time_nor_version() -> None:
    image = picture(replace(large_comparison(1), arms=large_comparison(1).arms[:1]))
    assert set(image.info) <= {"dpi"}


def test_without_references_there_is_one_panel(drawn: list[Any]) -> None:
    picture(replace(large_comparison(1), arms=large_comparison(1).arms[:3]))
    picture(large_comparison(1))
    assert [len(figure.axes) for figure in drawn] == [1, 2]


def test_every_kind_of_difference_has_its_colour(drawn: list[Any]) -> None:
    comparison = large_comparison(3)
    verdicts = {each.paired["chosen"].verdict for each in analyse(comparison) if each.paired is not None}
    assert verdicts == {"better", "worse", "not distinguishable"}
    picture(comparison)
    legend = drawn[0].axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["better", "worse", "not distinguishable"]
    colours = {handle.get_color() for handle in legend.legend_handles}
    markers = {handle.get_marker() for handle in legend.legend_handles}
    assert len(colours) == len(markers) == 3
