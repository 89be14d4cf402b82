import numpy as np
import pytest

pytest.importorskip("matplotlib")

from pipeline.report.page.figures.views import gallery, weights_by_class
from tests.pipeline.report.page.figures.reading import texts


def test_each_picture_has_its_weight() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 2, 8, 8, 3), dtype=np.uint8)
    found = texts(gallery(pictures, np.array([[0.25, 0.75], [0.9, 0.1]]), ("rgb", "high_frequency"), ("ant", "bee")))
    assert [each for each in found if each.endswith("%")] == ["25 %", "75 %", "90 %", "10 %"]
    assert {"rgb", "high frequency", "ant", "bee"} <= set(found)


def test_classes_without_images_have_no_bar() -> None:
    weights = np.array([[0.2, 0.8], [0.6, 0.4]])
    found = texts(weights_by_class(weights, np.array([0, 0]), ("rgb", "edge"), {0: "ant", 1: "bee"}))
    assert "ant" in found and "bee" not in found
