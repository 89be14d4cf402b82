import math

import pytest

from exporters.core.errors import UsageError
from exporters.core.temperature import LEAST, MOST, check_temperature


@pytest.mark.parametrize("value", [LEAST, 1.0, MOST])
def test_temperature_within_bounds_is_returned(value: float) -> None:
    assert check_temperature(value) == value


@pytest.mark.parametrize("value", [0.0, -1.0, 0.049, 20.1, math.nan, math.inf])
def test_temperature_out_of_bounds_is_refused_by_name(value: float) -> None:
    with pytest.raises(UsageError, match=r"--temperature is a number from 0\.05 to 20"):
        check_temperature(value, "--temperature")
