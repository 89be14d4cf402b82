from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from pipeline.console import Console
from pipeline.data.inspection.inspect import inspect
from pipeline.report.data_page.write import write_data_page
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.inspection.pictures import LIGHT_CHANGES
from tests.pipeline.report.data_page.conftest import LONG, write_pictures


def page_of(root: Path, path: Path) -> str:
    settings: Any = Data(root=str(root))
    write_data_page("set", inspect(settings), None, settings, path, Console())
    return path.read_text(encoding="utf-8")


def test_hostile_names_are_text(hostile: Path, tmp_path: Path) -> None:
    page = page_of(hostile, tmp_path / "data.html")
    assert "<img src=x" not in page and "&lt;img src=x onerror=alert(1)&gt;&amp;amp;" in page and "<b>" not in page
    assert "冠羽のある鳥 гребінчастий птах" in page


def test_near_duplicates_stand_side_by_side_with_names_splits_and_distance(hostile: Path, tmp_path: Path) -> None:
    page = page_of(hostile, tmp_path / "data.html")
    begin = page.index("look like one of train")
    pairs = page[begin : page.index("</section>", begin)].split("<li>")[1:]
    assert len(pairs) == len(LIGHT_CHANGES)
    for pair in pairs:
        assert pair.count("<img src=") == 2 and "of 64 bits, correlation 0.9" in pair.replace("1.000", "0.9")
        assert "test, " in pair and "train, " in pair and "train/" in pair and "of different classes" in pair


def test_long_names_do_not_break_the_page(tmp_path: Path) -> None:
    page = page_of(write_pictures(tmp_path / "data", (LONG.strip(), "b")), tmp_path / "data.html")
    assert LONG.strip() in page and "None was found across splits." in page
