from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from pipeline.costs.networks import Networks
from tests.pipeline.costs.recipes import small_recipe

NAMES = ["a", "b", "c"]


def test_no_weights_are_read(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, "student.weights=missing.pth", "teacher.visual.weights=missing.pth")
    assert Networks(recipe, NAMES, 30).student.shape.classes == 3


def test_race_is_priced_by_candidates_that_the_networks_allow(tmp_path: Path) -> None:
    race = ("distill.method=auto", "distill.contrast.weight=0", "distill.weighting.by=teacher_confidence")
    networks = Networks(small_recipe(tmp_path, *race), NAMES, 30)
    assert networks.settings("method").base == "cat_kd"
    assert networks.candidates == networks.recipe.distill.candidates

    without_maps = (*race, "student.model=mobilenet_v3_small")  # of classes, which cat_kd compares
    networks = Networks(small_recipe(tmp_path, *without_maps), NAMES, 30)
    assert networks.settings("method").base == "kd"
    left_out = set(networks.recipe.distill.candidates) - set(networks.candidates)
    assert {each.name for each in left_out} >= {"cat_kd", "tmkd on cat_kd"}

    networks = Networks(small_recipe(tmp_path, *without_maps, "distill.auto.candidates=[cat_kd]"), NAMES, 30)
    with pytest.raises(UsageError, match="cat_kd compares class activation maps"):
        networks.settings("method")
