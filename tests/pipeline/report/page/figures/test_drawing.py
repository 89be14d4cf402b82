import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from pipeline.report.page.figures.drawing import (
    INK,
    Drawn,
    draw,
    on_lines,
    panels,
    plain_text,
    rows_of_panels,
    shortened,
)
from tests.pipeline.report.page.figures.reading import colours, texts


def figure(name: str = "sample") -> Drawn:
    def paint(canvas):  # type: ignore[no-untyped-def]
        axes = canvas.subplots()
        axes.plot([0, 1], [0, 1], label="a line")
        axes.set_title("price in $ and 5 $")
        axes.legend()
        plain_text(axes)

    return draw(name, 2.0, paint, width=3.0)


def test_ink_takes_the_colour_of_the_page_and_stays_in_the_file() -> None:
    drawn = figure()
    assert "currentColor" in colours(drawn)
    assert INK not in drawn.svg and INK in drawn.file


def test_same_numbers_give_the_same_bytes() -> None:
    assert figure() == figure()


def test_internal_names_of_two_figures_differ() -> None:
    names = [set(re.findall(r'\bid="([^"]+)"', figure(name).svg)) for name in ("one", "other")]
    assert names[0] and not names[0] & names[1]


def test_same_picture_twice_has_two_names() -> None:
    def paint(canvas):  # type: ignore[no-untyped-def]
        for axes in canvas.subplots(1, 2):
            axes.imshow(np.eye(3))

    names = re.findall(r'\bid="([^"]+)"', draw("pictures", 2.0, paint).svg)
    assert len(names) == len(set(names))


def test_every_reference_has_its_target() -> None:
    svg = figure().svg
    targets = set(re.findall(r'\bid="([^"]+)"', svg))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= targets


def test_element_has_no_size_of_its_own_and_no_prologue() -> None:
    root = ElementTree.fromstring(figure().svg)
    assert root.get("viewBox") and root.get("width") is None and root.get("height") is None


def test_dollar_signs_are_no_formula() -> None:
    assert "price in $ and 5 $" in texts(figure())


def test_png_has_the_same_picture_on_white() -> None:
    pixels = np.asarray(Image.open(io.BytesIO(figure().png)).convert("RGB"))
    assert pixels.shape[1] == 3 * 160 and pixels[0, 0].tolist() == [255, 255, 255] and len(np.unique(pixels)) > 10


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (3, 1), (4, 2), (5, 2), (7, 3)])
def test_panels_are_as_many_as_asked_for(count: int, rows: int) -> None:
    from matplotlib.figure import Figure

    assert len(panels(Figure(), count)) == count
    assert rows_of_panels(count) == rows


def test_long_names_are_cut() -> None:
    assert shortened("abcdef", 6) == "abcdef" and shortened("abcdefg", 6) == "abcde…"
    assert on_lines("a name of many words that does not fit", 12) == "a name of\nmany words …"
