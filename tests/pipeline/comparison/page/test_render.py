import re
from typing import Any

import pytest

pytest.importorskip("jinja2")

from pipeline.comparison.page.render import FIGURES, render
from pipeline.comparison.page.words import Words
from pipeline.report.page.figures.drawing import Drawn
from pipeline.report.page.table import Table
from pipeline.report.page.thumbnails import Thumbnail

PLACES = (
    "accuracy", "seeds", "differences", "differences-to-plain", "best", "cost", "probabilities", "corruptions", "wins",
    "separation", "settings", "missing",
)  # fmt: skip


def page(words: Words, **changes: Any) -> str:
    given: dict[str, Any] = {"figures": {}, "pictures": {}, "why_not": None}
    return render("birds", words, **given | changes)


def full(text: str) -> Words:
    tables = {name: Table(text, [text], [[f"{text} {name}"]]) for name in PLACES}
    places = ("data", "weaknesses", "differences", "reading", "wins", "cost", "evidence")
    return Words(text, [text], tables, {name: [text] for name in places}, [(text, text)], "shipped")


def test_names_of_all_kinds_are_texts_and_never_markup() -> None:
    evil = '<img src=x onerror="alert(1)">'
    found = page(full(evil), pictures={evil: [Thumbnail("data:image/jpeg;base64,", evil, evil)]}, why_not=evil)
    assert "<img src=x" not in found and "&lt;img src=x" in found
    assert all(f"&gt; {name}</th>" in found for name in PLACES)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_its_place(name: str) -> None:
    others = {other: Drawn(other, "<svg/>", "", b"") for other in FIGURES if other != name}
    assert "<svg>here</svg>" in page(full("a"), figures={name: Drawn(name, "<svg>here</svg>", "", b"")} | others)


@pytest.mark.parametrize("words", [Words("Not finished", []), full("a")], ids=["empty", "full"])
def test_links_within_the_page_lead_somewhere_and_ids_are_given_once(words: Words) -> None:
    drawn = {name: Drawn(name, "<svg/>", "", b"") for name in FIGURES} if words.tables else {}
    found = page(words, figures=drawn)
    links, ids = re.findall(r'href="#([^"]+)"', found), re.findall(r'\bid="([^"]+)"', found)
    assert set(links) <= set(ids) and len(ids) == len(set(ids))
    assert "<script" not in found and "<link" not in found and "https://" not in found


def test_why_the_networks_were_not_asked_is_told() -> None:
    assert "The networks could not be asked: images are gone" in page(full("a"), why_not="images are gone")
