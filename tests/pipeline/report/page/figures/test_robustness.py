import pytest

pytest.importorskip("matplotlib")

from pipeline.report.page.figures.robustness import corruption_lines
from tests.pipeline.report.page.figures.reading import texts


def test_each_kind_has_a_panel_and_the_clean_images_none() -> None:
    values = {"clean": {"0": 0.9}, "blur": {"1": 0.8, "3": 0.5}, "gaussian_noise": {"1": 0.7, "3": 0.2}}
    found = texts(corruption_lines({"student": values, "teacher": values}))
    assert {"blur", "gaussian noise", "student", "teacher"} <= set(found) and "clean" not in found
