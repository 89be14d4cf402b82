import pytest
from pydantic import ValidationError

from pipeline.distill.race.settings import AutoSettings


def test_default_race_has_two_rungs_a_factor_of_three_apart_and_open_candidates() -> None:
    assert AutoSettings() == AutoSettings(candidates=None, rungs=2, reduction=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"candidates": ["kd", "tmkd"]}, "expected ce, kd"),
        ({"candidates": ["kd", "crd", "kd"]}, "expected each candidate once, got kd twice"),
        ({"candidates": []}, "at least 1"),
        ({"rungs": 0}, "greater than or equal to 1"),
        ({"reduction": 1}, "greater than or equal to 2"),
    ],
    ids=str,
)
def test_bounds_are_checked(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AutoSettings.model_validate(values)


def test_candidates_may_be_a_list_of_names() -> None:
    assert AutoSettings.model_validate({"candidates": ["kd", "tmkd on kd"]}).candidates == ("kd", "tmkd on kd")
