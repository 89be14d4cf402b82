import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from pipeline.report.page.figures import drawing
from pipeline.report.page.figures.drawing import (
    INK,
    Drawn,
    draw,
    families_with,
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


def test_wide_letters_count_two_and_accents_stay_with_their_letter() -> None:
    assert shortened("猫" * 20, 9) == "猫猫猫猫…"
    assert shortened("e\u0301" * 20, 5) == "e\u0301" * 4 + "…"
    family = "\U0001f469\u200d\U0001f467"
    assert shortened(f"ab{family}cdefgh", 5) in {"ab…", f"ab{family}…"}
    assert on_lines("猫" * 40, 8) == "猫猫猫…" or all(len(line) <= 5 for line in on_lines("猫" * 40, 8).split("\n"))


@pytest.mark.parametrize("evil", ["\u202ename", "na\x1bme", "na\u2067me"])
def test_what_would_steer_the_page_is_written_out(evil: str) -> None:
    for shown in (shortened(evil), on_lines(evil)):
        assert "\\u" in shown and not set(shown) & set("\u202e\x1b\u2067")


def test_alternative_text_makes_one_picture_of_a_figure() -> None:
    svg = draw("sample", 2.0, lambda canvas: canvas.subplots(), alt='5 of "6" <b>').svg
    root = ElementTree.fromstring(svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", '5 of "6" <b>')
    assert figure().svg.count("role=") == 0


def named(name: str) -> Drawn:
    return draw("sample", 2.0, lambda canvas: canvas.subplots().set_title(name), width=3.0)


def test_characters_of_other_fonts_are_found_and_those_of_none_are_told() -> None:
    assert families_with(frozenset({ord("a")}))
    assert families_with(frozenset({0xE123F0 % 0x10FFFF})) == []


def test_boxes_in_place_of_letters_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "families_with", lambda _points: [])
    boxes = named("\U00012000")
    assert "\U00012000" in texts(boxes)  # the SVG has the name itself
    monkeypatch.setattr(drawing, "_BOXES", "")
    assert named("\U00012000").png != boxes.png and named("\U00012000").svg == boxes.svg
