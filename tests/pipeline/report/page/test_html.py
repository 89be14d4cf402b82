from pathlib import Path

import pytest

pytest.importorskip("jinja2")

from markupsafe import Markup

from pipeline.report.page.figures.drawing import Drawn
from pipeline.report.page.html import _written, fill
from pipeline.report.page.table import Table
from pipeline.report.page.words import Words

TEMPLATE = """\
{% extends "base.html.j2" %}
{% from "macros.html.j2" import table, figure with context %}
{% set sections = [("own", "Own section", true), ("other", "Other section", false)] %}
{% block main %}
<section id="own">{{ table("sizes") }}{{ figure("curve") }}{{ figure("absent") }}</section>
{% endblock %}
"""


def test_template_of_another_folder_is_filled_on_the_shared_base(tmp_path: Path) -> None:
    (tmp_path / "own.html.j2").write_text(TEMPLATE)
    page = fill(
        "own.html.j2",
        folder=tmp_path,
        figures={"curve": Drawn("curve", "<svg>here</svg>", "", b"")},
        captions={"curve": ("A <curve>", "what it shows"), "absent": ("none", "none")},
        title="<title>",
        state="shipped",
        of="test",
        words=Words("Done", [], {"sizes": Table("Sizes", ["what", "size"], [["<b>", "3"]])}),
    )
    assert '<a href="#own">Own section</a>' in page and "Other section" not in page
    assert "<svg>here</svg>" in page and "A &lt;curve&gt;" in page and 'id="absent"' not in page
    assert "&lt;b&gt;" in page and "<b>" not in page and "&lt;title&gt;" in page
    assert "from the files of the test" in page and "default-src 'none'" in page


def test_texts_cannot_turn_the_direction_of_the_page() -> None:
    assert _written("a\u202eb\x1b") == "a\\u202eb\\u001b" and _written("caf\udce9") == "caf\\xe9"
    assert _written(Markup("<b>")) == Markup("<b>") and _written(5) == 5
