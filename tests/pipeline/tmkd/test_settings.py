import pytest
from pydantic import ValidationError

from pipeline.tmkd.settings import WeightingSettings


def test_weighting_with_nothing_left_open_needs_no_measurement() -> None:
    assert not WeightingSettings(by="product", temperature=0.1).is_fitted
    assert WeightingSettings(standardise=True).is_fitted
    assert WeightingSettings(temperature="auto").is_fitted


@pytest.mark.parametrize("temperature", [0.0, -1.0, "hot", None])
def test_temperature_is_a_number_above_0_or_auto(temperature: object) -> None:
    with pytest.raises(ValidationError):
        WeightingSettings(temperature=temperature)
