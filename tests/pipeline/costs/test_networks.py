from pathlib import Path

from pipeline.costs.networks import Networks
from tests.pipeline.costs.recipes import small_recipe

NAMES = ["a", "b", "c"]


def test_no_weights_are_read(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, "student.weights=missing.pth", "teacher.visual.weights=missing.pth")
    assert Networks(recipe, NAMES, 30).student.shape.classes == 3
