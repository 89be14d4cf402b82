import re
from typing import Any

import pytest

pytest.importorskip("jinja2")

from pipeline.report.page.figures.drawing import Drawn
from pipeline.report.page.render import FIGURES, render
from pipeline.report.page.table import Table
from pipeline.report.page.thumbnails import Thumbnail
from pipeline.report.page.words import Words


def page(**changes: Any) -> str:
    texts = Words("Shipped", ["It is good."], {"recipe": Table("What the recipe sets", ["key"], [["seed"]])})
    given: dict[str, Any] = {
        "title": "birds", "state": "shipped", "words": texts, "figures": {}, "pictures": {}, "why_not": None,
    }  # fmt: skip
    return render(**given | changes)


def test_names_of_all_kinds_are_texts_and_never_markup() -> None:
    evil = '<img src=x onerror="alert(1)">'
    table = Table(evil, [evil, evil], [[evil, evil]])
    texts = Words("Shipped", [evil], {"accuracy": table}, {"data": [evil]}, [(evil, evil)])
    found = page(title=evil, words=texts, pictures={"odd": [Thumbnail("data:image/jpeg;base64,", evil, evil)]})
    assert "<img src=x" not in found and "&lt;img src=x" in found


def test_page_loads_nothing_from_elsewhere() -> None:
    drawn = Drawn("features", "<svg><text>a</text></svg>", "", b"")
    found = page(figures={"features": drawn})
    assert "<svg><text>a</text></svg>" in found
    assert "<script" not in found and "<link" not in found and "http://" not in found and "https://" not in found
    assert "default-src 'none'" in found


def test_sections_without_content_are_left_out_of_page_and_navigation() -> None:
    found = page()
    assert 'href="#classes"' not in found and 'id="classes"' not in found
    links, ids = set(re.findall(r'href="#([^"]+)"', found)), set(re.findall(r'\bid="([^"]+)"', found))
    assert links <= ids


def test_why_the_networks_were_not_asked_is_told() -> None:
    assert "The networks could not be asked: images are gone" in page(why_not="images are gone")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_its_place(name: str) -> None:
    texts = Words("Shipped", [], {key: Table(key, ["a"], [["b"]]) for key in ("fusion", "classes", "recipe")})
    assert "<svg>here</svg>" in page(words=texts, figures={name: Drawn(name, "<svg>here</svg>", "", b"")} | {
        other: Drawn(other, "<svg/>", "", b"") for other in FIGURES if other != name
    })  # fmt: skip
