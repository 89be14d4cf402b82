from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.training.settings.schedule import ScheduleSettings


def test_given_milestones_imply_their_kind() -> None:
    assert ScheduleSettings(milestones=[3, 5]).kind == "milestones"
    assert ScheduleSettings().kind == "cosine"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kind": "one_cycle", "warmup": 1}, "expected 0 for @kind one_cycle"),
        ({"kind": "milestones"}, "expected at least one epoch"),
        ({"kind": "cosine", "milestones": [3]}, "expected none for @kind cosine"),
        ({"milestones": [5, 3]}, "expected epochs in rising order"),
        ({"milestones": [3, 3]}, "expected epochs in rising order"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ScheduleSettings(**given)
