from pathlib import Path

import pytest
import torch

from pipeline.costs.networks import Networks
from pipeline.costs.trainings import Trainings
from tests.pipeline.costs.recipes import small_recipe

NAMES = ["a", "b", "c"]


@pytest.mark.parametrize(("passes", "places"), [(4, 2), (0, 8)])
def test_teacher_answers_as_from_a_cache_where_there_is_one(tmp_path: Path, passes: int, places: int) -> None:
    networks = Networks(small_recipe(tmp_path, f"distill.teacher_cache.passes={passes}"), NAMES, 30)
    teacher = Trainings(networks).of("method").teacher
    assert teacher is not None
    output = teacher(torch.rand(5, 3, 32, 32), torch.tensor([0, 1, 2, 0, 1]), 0, torch.arange(5), None)
    assert output.logits.shape == (5, 3)
    assert output.feature_map is not None and output.feature_map.shape == (5, 64, places, places)
