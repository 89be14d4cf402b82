import pytest

from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import settings
from tests.pipeline.runner.stages import RECIPE


def test_settings_are_flattened_to_dotted_keys() -> None:
    found = settings(RECIPE, "data.image_size", "train.schedule", "distill.views")
    assert found["data.image_size"] == 224
    assert found["train.schedule.kind"] == "one_cycle" and found["train.schedule.milestones"] == []
    assert found["distill.views.edge.strength"] == 0.25
    assert not [key for key in found if isinstance(found[key], dict) and found[key]]
    bare = Recipe.model_validate({"distill": {"views": {"edge": None, "high_frequency": None}}})
    assert settings(bare, "distill.views") == {"distill.views": {}}
    with pytest.raises(KeyError):
        settings(RECIPE, "data.colour")


def test_the_name_of_a_preset_is_no_setting_that_a_result_follows_from() -> None:
    found = settings(Recipe.model_validate({"train": "scratch"}), "train")
    assert "train.preset" not in found
    assert found["train.lr"] == 0.05
