from typing import Annotated

import pytest
from pydantic import ValidationError

from exporters.core.errors import UsageError
from pipeline.settings import Licence, Settings, any_of, check_names, file_or, one_of, problem


class Example(Settings):
    share: float = 0.5
    name: Annotated[str, one_of(("one", "two", "three"))] = "one"
    source: Annotated[str, file_or(("birds",))] = "birds"
    licence: Licence | None = None


def test_settings_are_strict_frozen_and_without_unknown_keys() -> None:
    for values in ({"shares": 0.5}, {"share": "0.5"}, {"share": float("nan")}, {"name": 1}):
        with pytest.raises(ValidationError):
            Example.model_validate(values)
    with pytest.raises(ValidationError, match="frozen"):
        Example().share = 0.1


def test_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValidationError, match="expected one, two or three"):
        Example(name="four")


@pytest.mark.parametrize(("source", "taken"), [("birds", True), ("./x", True), ("x.npz", True), ("brids", False)])
def test_slip_in_a_name_is_not_taken_for_a_file(source: str, taken: bool) -> None:
    if taken:
        assert Example(source=source).source == source
    else:
        with pytest.raises(ValidationError, match="birds or a file"):
            Example(source=source)


def test_licences_are_spelled_as_spdx_does() -> None:
    assert Example(licence="apache-2.0").licence == "Apache-2.0"
    with pytest.raises(ValidationError, match="SPDX"):
        Example(licence="free")


def test_problem_carries_the_keys_that_it_follows_from() -> None:
    found = problem("a", "expected 1 where @b is 2", "b")
    assert found.context == {"message": "expected 1 where @b is 2", "at": "a", "involves": ("b",)}


def test_any_of_reads_as_a_list() -> None:
    assert [any_of(names) for names in ("a", "ab", "abc")] == ["a", "a or b", "a, b or c"]


def test_names_of_an_option_are_checked_where_they_are_known() -> None:
    check_names("--students", ["a", "b"])
    for names, message in (
        ([], "--methods: expected at least one name, got none\n  Known: kd, tmkd."),
        (["kd", "tmdk"], "--methods: there is no 'tmdk'; did you mean tmkd?\n  Known: kd, tmkd."),
        (["zzz"], "--methods: there is no 'zzz'\n  Known: kd, tmkd."),
        (["kd", "kd"], "--methods: kd stands there twice"),
    ):
        with pytest.raises(UsageError) as error:
            check_names("--methods", names, ["kd", "tmkd"])
        assert str(error.value) == message
