"""The page of a run in a real browser."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

from exporters.core.files import read_json
from tests.pipeline.conftest import Run, run_command
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
def page(finished: tuple[Run, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("page") / "run"
    shutil.copytree(finished[0].directory, directory)
    assert run_command("report", directory).code == 0
    return directory / "report.html"


@pytest.mark.parametrize("scheme", [[], DARK], ids=["light", "dark"])
def test_page_has_no_serious_fault_of_accessibility(page: Path, scheme: list[str]) -> None:
    assert serious(measured(page, "--window-size=1280,900", *scheme)["faults"]) == []


def test_page_fits_a_phone(page: Path) -> None:
    found = measured(page, "--window-size=500,900")  # the narrowest window that Chromium makes
    assert found["wide"] is False and found["scrolled"] == 0


def test_nothing_is_asked_for_beyond_the_page_and_the_console_is_silent(page: Path, tmp_path: Path) -> None:
    asked, said = foreign_requests(page, tmp_path / "net.json")
    assert asked == set() and "CONSOLE" not in said


def test_every_figure_has_pixels_and_verdict_and_table_are_those_of_the_files(page: Path, tmp_path: Path) -> None:
    found = measured(page, "--window-size=1280,900")
    assert len(found["boxes"]) >= 10
    assert figures_without_pixels(page, found, tmp_path / "page.png") == []
    verdict = read_json(page.parent / "validate" / "verdict.json")
    assert (found["verdict"] == "Shipped") is verdict["passed"]
    ships = next(cells for cells in found["tables"]["accuracy"] if "ships" in cells[0])
    top1 = [100 * verdict["student"]["chosen"][split]["top1"] for split in ("validation", "test")]
    assert [cell.split(" ")[0] for cell in ships[1:3]] == [f"{value:.2f}" for value in top1]
