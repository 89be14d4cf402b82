import pytest

from pipeline.costs.seconds import Seconds, total


def test_amounts_are_multiplied_by_prices_and_added() -> None:
    prices = {"one": Seconds(2, 3), "other": Seconds(10, 0)}
    assert total({"one": 4, "other": 0.5}, prices) == Seconds(13, 12)
    assert total({}, prices) == Seconds(0, 0)


def test_operation_without_a_price_is_an_error_unless_nothing_of_it_is_done() -> None:
    assert total({"unknown": 0}, {}) == Seconds()
    with pytest.raises(KeyError, match="unknown"):
        total({"unknown": 1}, {})
