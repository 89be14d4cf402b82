import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from pipeline.explain.evidence import Answers, Evidence, ViewEvidence
from pipeline.report.page.figures.drawing import Drawn
from pipeline.report.page.figures.from_evidence import figures_of_evidence
from pipeline.report.page.steps import page_steps
from tests.pipeline.report.page.figures.reading import texts

RANDOM = np.random.default_rng(0)
LABELS = np.repeat([0, 1], 6)


def answers(title: str, with_maps: bool = True) -> Answers:
    logits = RANDOM.normal(size=(12, 2)).astype(np.float32)
    maps = RANDOM.random((2, 3, 3)).astype(np.float32) if with_maps else None
    return Answers(title, logits, RANDOM.normal(size=(12, 4)).astype(np.float32), maps)


def evidence(views: ViewEvidence | None, with_maps: bool = True, corrupted: bool = True) -> Evidence:
    values = {"student": {"clean": {"0": 0.5}, "blur": {"1": 0.4}, "jpeg": {"1": 0.3}}} if corrupted else {}
    pictures = RANDOM.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    networks = {"student": answers("student", with_maps), "teacher": answers("teacher", with_maps)}
    return Evidence(np.arange(12), LABELS, (0, 1), np.array([0, 7]), pictures, networks, views, values, 12)


def drawn(asked: Evidence) -> dict[str, Drawn]:
    with page_steps(0) as steps:
        return steps.draw(figures_of_evidence(asked, ["ant", "bee"]))


def test_all_figures_are_drawn_where_there_is_everything() -> None:
    views = ViewEvidence(("rgb", "edge"), np.full((12, 2), 0.5), RANDOM.integers(0, 256, (2, 2, 8, 8, 3), np.uint8))
    figures = drawn(evidence(views))
    assert [figure.name for figure in figures.values()] == list(figures) == [
        "view-gallery", "view-weights", "attention-maps", "features", "mean-logits", "logit-distribution", "robustness",
    ]  # fmt: skip


def test_what_is_not_there_is_not_drawn() -> None:
    figures = drawn(evidence(None, with_maps=False, corrupted=False))
    assert list(figures) == ["features", "mean-logits", "logit-distribution"]
    assert {"student", "teacher", "ant", "bee"} <= set(texts(figures["features"]))


def test_every_figure_has_a_text_in_its_place() -> None:
    views = ViewEvidence(("rgb", "edge"), np.full((12, 2), 0.5), RANDOM.integers(0, 256, (2, 2, 8, 8, 3), np.uint8))
    found = {name: figure.svg for name, figure in drawn(evidence(views)).items()}
    assert all('role="img" aria-label="' in svg for svg in found.values())
    assert "student: 50 % on the images as they are; blur 40 % at severity 1" in found["robustness"]
    assert "ant: rgb 50 %, edge 50 %" in found["view-gallery"] and "Silhouette: student" in found["features"]
    assert "ant: student says" in found["attention-maps"] or "bee: student says" in found["attention-maps"]
