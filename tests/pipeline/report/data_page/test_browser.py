"""The page of a data set in a real browser."""

import json
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from tests.pipeline.conftest import run_command
from tests.pipeline.report.page.browser import (
    DARK,
    figures_without_pixels,
    foreign_requests,
    measured,
    needs_browser,
    serious,
)

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page(hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    arguments = ("--html", folder / "new" / "data.html", "--sheet", folder / "s.png", "--json")
    outcome = run_command("data", "inspect", hostile, *arguments)
    assert outcome.code == 0, outcome.err
    (folder / "new" / "found.json").write_text(outcome.out, encoding="utf-8")
    return folder / "new" / "data.html"


@pytest.mark.parametrize("scheme", [[], DARK], ids=["light", "dark"])
def test_page_has_no_serious_fault_of_accessibility_and_fits_a_phone(page: Path, scheme: list[str]) -> None:
    found = measured(page, "--window-size=500,900", *scheme)
    assert serious(found["faults"]) == [] and found["wide"] is False


def test_tables_are_those_of_the_json_and_every_figure_has_pixels(page: Path, tmp_path: Path) -> None:
    found = measured(page, "--window-size=1280,900")
    assert set(found["boxes"]) == {"class-counts", "image-sizes"}
    assert figures_without_pixels(page, found, tmp_path / "page.png") == []
    told = json.loads((page.parent / "found.json").read_text(encoding="utf-8"))
    assert found["verdict"] == "A run would stop" and told["unreadable"]["count"] == 1
    for name, images, unreadable, copies, *_ in found["tables"]["splits"]:
        own = told["splits"][name]
        assert [images, unreadable, copies] == [str(own[key]) for key in ("images", "unreadable")] + [
            str(own["copies"]["count"])
        ]


def test_names_of_files_ask_for_nothing_and_run_nothing(page: Path, tmp_path: Path) -> None:
    asked, said = foreign_requests(page, tmp_path / "net.json")
    assert asked == set() and "CONSOLE" not in said
