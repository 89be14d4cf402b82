import pytest
from pydantic import ValidationError

from pipeline.training.settings import FitSettings, ScheduleSettings


@pytest.mark.parametrize(
    ("optimizer", "given", "decays"), [("sgd", None, True), ("adamw", None, False), ("sgd", False, False)]
)
def test_norms_decay_with_sgd_unless_the_recipe_says_otherwise(
    optimizer: str, given: bool | None, decays: bool
) -> None:
    assert FitSettings(optimizer=optimizer, decay_norms_and_biases=given).decays_norms_and_biases is decays


def test_milestones_imply_their_kind_and_lie_within_the_epochs() -> None:
    assert ScheduleSettings(milestones=[3, 5]).kind == "milestones"
    with pytest.raises(ValidationError, match="before the end of @epochs"):
        FitSettings(epochs=5, schedule=ScheduleSettings(milestones=[3, 5]))
