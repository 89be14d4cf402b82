import numpy as np
import pytest

pytest.importorskip("matplotlib")

from pipeline.evaluation.probabilities import reliability
from pipeline.report.page.figures.calibration import reliability_diagram
from tests.pipeline.report.page.figures.reading import texts


def test_each_network_is_named_with_its_calibration_error() -> None:
    bins = reliability(np.array([0.8, 0.8, 0.6]), np.array([True, True, False]))
    found = texts(reliability_diagram({"student": bins, "base": bins}))
    assert {"student: ECE 33.3 %", "base: ECE 33.3 %"} <= set(found)
