"""Errors name the arguments of Python rather than the options of a command."""

import pytest

from exporters.core.errors import GateError, UsageError
from pipeline.api.wording import for_python, names_of


def function(calibration_images: int, seeds: int, model_arguments: str) -> None:
    """Whose arguments are named."""


def test_options_become_arguments_and_those_of_others_stay() -> None:
    with pytest.raises(UsageError) as refused, for_python(function, model_arg="model_arguments"):
        raise UsageError("--calibration-images 3 --seeds=2 --set x", remedy="--model-arg, or --model-argument")
    assert refused.value.message == "calibration_images 3 seeds=2 --set x"
    assert refused.value.remedy == "model_arguments, or --model-argument"


def test_report_and_class_of_an_error_stay() -> None:
    with pytest.raises(GateError) as refused, for_python(function):
        raise GateError("no", report={"fp32": 1})
    assert refused.value.report == {"fp32": 1} and refused.value.remedy is None


@pytest.mark.parametrize(
    ("given", "expected"), [("ce, kd", ("ce", "kd")), (["ce", " kd "], ("ce", "kd")), ((), ()), ("", ("",))]
)
def test_names_may_be_a_list_or_a_text(given: list[str] | str, expected: tuple[str, ...]) -> None:
    assert names_of(given) == expected
