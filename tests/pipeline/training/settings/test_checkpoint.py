import pytest

from pipeline.training.settings.checkpoint import CheckpointSettings


@pytest.mark.parametrize(("minutes", "seconds"), [(10.0, 600.0), (0.0, 0.0), (None, None)])
def test_minutes_are_told_in_seconds(minutes: float | None, seconds: float | None) -> None:
    assert CheckpointSettings(every_minutes=minutes).every_seconds == seconds
