import json

import pytest
from pydantic import ValidationError

from pipeline.tmkd.choice import FusionChoice, ScoreStatistics
from pipeline.tmkd.views.settings import EdgeView, ZoomView


def test_a_choice_survives_being_written_and_read() -> None:
    choice = FusionChoice(
        views={"edge": EdgeView(strength=0.1), "near": ZoomView(share=0.5)},
        temperature=0.3,
        statistics={name: ScoreStatistics(mean=-1.5, spread=2.0) for name in ("rgb", "edge", "near")},
    )
    read = FusionChoice.model_validate(json.loads(json.dumps(choice.model_dump(mode="json"))))
    assert read == choice and read.names == ("rgb", "edge", "near")


def test_rgb_alone_is_a_choice() -> None:
    assert FusionChoice(views={}, temperature=1.0).names == ("rgb",)


def test_a_spread_or_temperature_of_0_is_refused() -> None:
    with pytest.raises(ValidationError):
        ScoreStatistics(mean=0.0, spread=0.0)
    with pytest.raises(ValidationError):
        FusionChoice(views={}, temperature=0.0)
