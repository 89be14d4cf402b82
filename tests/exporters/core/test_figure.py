"""Figures whose bytes follow from what is drawn alone."""

import pytest

pytest.importorskip("matplotlib")

import matplotlib
from matplotlib.figure import Figure

from exporters.core.figure import PLAIN_STYLE, png_of, reproducible_figure, svg_of


def drawn(**settings: object) -> tuple[bytes, str]:
    with reproducible_figure((2.0, 1.0), 100, {"svg.hashsalt": "a", **settings}) as figure:
        figure.subplots().plot([1, 2, 3])
        return png_of(figure), svg_of(figure)


def test_same_drawing_gives_the_same_bytes_whatever_the_style() -> None:
    first = drawn()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        assert drawn() == first
        assert matplotlib.rcParams["font.size"] == 20


def test_size_is_in_inches_and_pixels_an_inch() -> None:
    picture, svg = drawn()
    assert (int.from_bytes(picture[16:20], "big"), int.from_bytes(picture[20:24], "big")) == (200, 100)
    assert '<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="144pt" height="72pt"' in svg  # 72 points an inch
    assert "<dc:date>" not in svg and b"Software" not in picture


def test_own_settings_go_before_those_of_every_figure() -> None:
    with reproducible_figure((1, 1), 50) as figure:
        assert isinstance(figure, Figure) and matplotlib.rcParams["font.size"] == PLAIN_STYLE["font.size"]
    with reproducible_figure((1, 1), 50, {"font.size": 12}):
        assert matplotlib.rcParams["font.size"] == 12 and matplotlib.rcParams["axes.spines.top"] is False
