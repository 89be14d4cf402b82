import numpy as np
import pytest

pytest.importorskip("torch")

from pipeline.data.index import DataIndex, IndexedSplit
from pipeline.data.path_table import PathTable
from pipeline.explain import evidence
from pipeline.report.page.write import odd_images
from tests.pipeline.conftest import Run, run_command


def index(*sizes: list[tuple[int, int]]) -> DataIndex:
    splits = {}
    for name, own in zip(("train", "validation", "test"), sizes, strict=True):
        array = np.array(own, dtype=np.int32).reshape(-1, 2)
        paths = PathTable.of([f"{name}/{n}.png" for n in range(len(own))])
        splits[name] = IndexedSplit(paths, np.zeros(len(own), np.int64), np.zeros((len(own), 32), np.uint8), array)
    return DataIndex(root=None, classes=["a"], splits=splits)  # type: ignore[arg-type]


def test_odd_images_are_found_in_their_split() -> None:
    found = odd_images(index([(50, 50)] * 4, [(50, 50), (20, 20)], [(50, 50), (80, 80), (200, 13)]))
    assert found == [
        ("validation", 1, "the smallest: 20 × 20"),
        ("test", 1, "the largest: 80 × 80"),
        ("test", 2, "the most elongated: 200 × 13"),
    ]


def test_ordinary_images_are_not_odd() -> None:
    assert odd_images(index([(50, 50), (60, 45)], [(40, 50)], [(50, 50)])) == []


def test_report_is_written_by_its_command_with_every_figure_beside_it(run: Run) -> None:
    outcome = run_command("report", run.directory)
    assert outcome.code == 0, outcome.err
    page = (run.directory / "report.html").read_text(encoding="utf-8")
    figures = {path.stem for path in (run.directory / "report" / "figures").glob("*.svg")}
    assert figures == {path.stem for path in (run.directory / "report" / "figures").glob("*.png")}
    assert {
        "training-curves",
        "confusion-matrix",
        "view-gallery",
        "attention-maps",
        "features",
        "robustness",
    } <= figures
    assert all(f'<figure id="{name}">' in page for name in figures)
    assert len(page) < 15e6


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are asked about as few images as there can be."""
    monkeypatch.setattr(evidence, "MULTIPLICATIONS", 1.0)
    monkeypatch.setattr(evidence, "FEWEST", 4)


def test_page_of_a_run_whose_images_are_gone_says_so(own_data: Run) -> None:
    for path in own_data.data.rglob("*.png"):
        path.unlink()
    outcome = run_command("report", own_data.directory)
    assert outcome.code == 0, outcome.err
    page = (own_data.directory / "report.html").read_text(encoding="utf-8")
    assert "The networks could not be asked" in page and "confusion-matrix" in page


def test_failed_run_has_its_page_too(run: Run, few_images: None) -> None:
    outcome = run("--report", "--set", "validate.min_top1=1.0")
    assert outcome.code == 3
    page = run.directory / "report.html"
    assert "Refused: a gate failed" in page.read_text(encoding="utf-8") and f"page: {page}" in outcome.out


def test_page_is_kept_where_nothing_ran(run: Run) -> None:
    (run.directory / "report.html").write_text("mine")
    assert run("--report").code == 0
    assert (run.directory / "report.html").read_text() == "mine"
