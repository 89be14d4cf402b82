"""The page as it is written, and in a real browser."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from pipeline.comparison.page.facts import read_comparison
from pipeline.comparison.page.write import write_page
from pipeline.comparison.report import to_json
from pipeline.console import Console
from tests.pipeline.comparison.making import make_folder
from tests.pipeline.report.page.browser import (
    DARK,
    figures_without_pixels,
    foreign_requests,
    measured,
    needs_browser,
    serious,
)

CLASSES = ("<b>ant</b> & $x$", "шмель", "非常に長い名前の牛" * 12)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of twelve arms on classes of all kinds of names."""
    folder = tmp_path_factory.mktemp("compared") / "cmp"
    arms = ["ce", *(f"tmkd on cat_kd: another weighting, variant {number}" for number in range(11))]
    make_folder(folder, arms, classes=CLASSES, images=300, corruptions=True)
    return write_page(folder, Console(plain=True))


def test_page_has_every_figure_beside_it_and_says_why_the_networks_were_not_asked(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    figures = {path.stem for path in (page.parent / "report" / "figures").glob("*.svg")}
    assert figures == {path.stem for path in (page.parent / "report" / "figures").glob("*.png")}
    assert figures == {"accuracies", "training-curves", "training-time", "wins", "reliability", "robustness"}
    assert all(f'<figure id="{name}">' in text for name in figures)
    assert "The networks could not be asked" in text and len(text) < 15e6


def test_names_of_classes_of_all_kinds_stand_below_the_images_that_one_arm_alone_has_right(tmp_path: Path) -> None:
    make_folder(tmp_path / "cmp", ["ce", "kd"], classes=CLASSES, missing=[("kd", 1)])
    text = write_page(tmp_path / "cmp", Console(plain=True)).read_text(encoding="utf-8")
    assert "Not finished: 3 of 4 runs" in text and "data:image/jpeg;base64," in text
    assert "<b>ant</b>" not in text and "&lt;b&gt;ant&lt;/b&gt; &amp; $x$" in text
    assert CLASSES[1] in text and CLASSES[2] in text


def test_page_of_a_comparison_that_has_only_begun(tmp_path: Path) -> None:
    make_folder(tmp_path / "cmp", arms=["ce", "kd"], seeds=(0,), missing=[("ce", 0), ("kd", 0)])
    text = write_page(tmp_path / "cmp", Console(plain=True)).read_text(encoding="utf-8")
    assert "Not finished: 0 of 2 runs" in text and "not begun" in text


@needs_browser
@pytest.mark.parametrize("scheme", [[], DARK], ids=["light", "dark"])
def test_page_has_no_serious_fault_of_accessibility(page: Path, scheme: list[str]) -> None:
    assert serious(measured(page, "--window-size=1280,900", *scheme)["faults"]) == []


@needs_browser
def test_page_fits_a_phone_and_asks_for_nothing(page: Path, tmp_path: Path) -> None:
    assert measured(page, "--window-size=500,900")["wide"] is False
    asked, said = foreign_requests(page, tmp_path / "net.json")
    assert asked == set() and "CONSOLE" not in said


@needs_browser
def test_figures_have_pixels_and_verdict_and_tables_are_those_of_the_result(page: Path, tmp_path: Path) -> None:
    found = measured(page, "--window-size=1280,900")
    assert len(found["boxes"]) == 6
    assert figures_without_pixels(page, found, tmp_path / "page.png") == []
    facts = read_comparison(page.parent)
    assert facts.comparison is not None
    result = to_json(facts.comparison, facts.figures)
    assert found["verdict"] in result["headline"][0].replace("`", "")
    expected = [[arm["name"], f"{100 * arm['test']['chosen']['mean']:.2f}"] for arm in result["arms"]]
    assert [[row[0], row[1].split(" ")[0]] for row in found["tables"]["accuracy"]] == expected
    keys = ("right", "only_this_right")
    images = [[arm["name"], *(str(arm["images"][key]) for key in keys)] for arm in result["arms"]]
    assert [row[:3] for row in found["tables"]["wins"]] == images
