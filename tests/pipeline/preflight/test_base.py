import pytest

from exporters.core.errors import UnavailableError, UsageError
from pipeline.preflight.base import Report
from tests.pipeline.preflight.conftest import Prospect


def test_one_error_is_raised_as_it_is_and_several_as_the_worst() -> None:
    report = Report()
    report.raise_errors()
    missing, wrong = UnavailableError("a is missing"), UsageError("b is wrong", remedy="Change b.")
    report.add(missing)
    report.add(UnavailableError("a is missing"))
    try:
        report.raise_errors()
    except UnavailableError as error:
        assert error is missing
    report.add(wrong)
    try:
        report.raise_errors()
    except UsageError as error:
        assert str(error) == "a is missing\nb is wrong\n  Change b."


def test_network_is_built_once_and_its_error_is_the_same_for_every_check(prospect: Prospect) -> None:
    subject = prospect.subject()
    assert subject.student() is subject.student()
    broken, errors = prospect.subject("student.arguments={no_such: 1}"), []
    for _ in range(2):
        with pytest.raises(UsageError) as caught:
            broken.student()
        errors.append(caught.value)
    assert errors[0] is errors[1]
