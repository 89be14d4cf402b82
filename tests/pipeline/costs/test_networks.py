from pathlib import Path

import pytest
import torch

from pipeline.costs.networks import Networks
from pipeline.distill.methods.ce import CrossEntropy
from pipeline.distill.methods.tmkd import Tmkd
from tests.pipeline.costs.recipes import KINDS, small_recipe

NAMES = ["a", "b", "c"]


def test_trainings_are_those_of_the_stages(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, *KINDS["reference"])
    networks = Networks(recipe, NAMES, 30)
    methods = {name: networks.training(name).task.method for name in ("plain", "method", "base")}
    assert type(methods["plain"]) is CrossEntropy
    assert type(methods["method"]) is type(methods["base"]) is Tmkd
    assert methods["method"].settings.contrast.weight == 0.5 and methods["base"].settings.contrast.weight == 0
    assert networks.taught == ("method", "base")
    assert networks.training("teacher fit").settings.epochs == 4
    assert networks.text_training().settings.epochs == 5


@pytest.mark.parametrize(("passes", "places"), [(4, 2), (0, 8)])
def test_teacher_answers_as_from_a_cache_where_there_is_one(tmp_path: Path, passes: int, places: int) -> None:
    networks = Networks(small_recipe(tmp_path, f"distill.teacher_cache.passes={passes}"), NAMES, 30)
    teacher = networks.training("method").teacher
    assert teacher is not None
    output = teacher(torch.rand(5, 3, 32, 32), torch.tensor([0, 1, 2, 0, 1]), 0, torch.arange(5), None)
    assert output.logits.shape == (5, 3)
    assert output.feature_map is not None and output.feature_map.shape == (5, 64, places, places)


def test_no_weights_are_read(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, "student.weights=missing.pth", "teacher.visual.weights=missing.pth")
    assert Networks(recipe, NAMES, 30).student.shape.classes == 3
