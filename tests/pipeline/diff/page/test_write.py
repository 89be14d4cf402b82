"""The page of `diff`."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.console import Console
from pipeline.diff.gates import Allowed, judge
from pipeline.diff.measure import Measured
from pipeline.diff.page.write import state_of, words, write_page
from pipeline.diff.pairs import Pair

pytest.importorskip("jinja2")


def test_page_shows_what_changed(measured: Measured, tmp_path: Path) -> None:
    path = tmp_path / "new" / "diff.html"
    write_page(measured, judge(measured, Allowed(drop=1)), path, Console(quiet=True))
    text = path.read_text("utf-8")
    assert text.count('src="data:image/jpeg;base64,') == 12
    assert 'class="verdict refused"' in text and "1 of 1 gate failed" in text and "before → after" in text
    assert "old: ✓" in text and "✗ dog" in text and 'id="reliability"' in text
    assert "<script" not in text and "http" not in text.replace("http://www.w3.org", "").replace("http-equiv", "")


def test_names_are_escaped_and_pictures_of_lost_images_left_out(measured: Measured, tmp_path: Path) -> None:
    gone = [tmp_path / "gone" / "<b>.png"] * len(measured.asked.images)
    changed = replace(
        measured,
        folder=tmp_path,
        labels=replace(measured.labels, classes=("<i>cat", "dog", "owl")),
        asked=replace(measured.asked, images=gone),
    )
    write_page(changed, [], tmp_path / "diff.html", Console(quiet=True))
    text = (tmp_path / "diff.html").read_text("utf-8")
    assert "<i>cat" not in text and "&lt;i&gt;cat" in text and "data:image" not in text


def test_state_follows_gates_else_accuracy(measured: Measured) -> None:
    assert state_of(measured, judge(measured, Allowed(drop=1))) == "refused"
    assert state_of(measured, judge(measured, Allowed(larger=1000))) == "shipped"
    assert state_of(measured, []) == "refused"
    assert state_of(replace(measured, overall=Pair(100, 50, 52, 5, 3, 0.7)), []) == "unfinished"
    assert state_of(replace(measured, overall=Pair(100, 50, 68, 20, 2, 0.001)), []) == "shipped"


def test_all_classes_are_there_without_a_table_of_none(measured: Measured) -> None:
    tables = words(measured, []).tables
    assert len(tables["classes"].rows) == 2 and len(tables["every-class"].rows) == 3
    same = replace(measured, classes=[measured.classes[1]])
    assert "classes" not in words(same, []).tables and "gates" not in words(same, []).tables
