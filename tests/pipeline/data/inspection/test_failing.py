from pathlib import Path

import pytest

from exporters.core.errors import GateError, UsageError
from pipeline.data.inspection.failing import FAILING, counts, kinds_to_fail_on, require_none
from pipeline.data.inspection.inspect import inspect
from tests.pipeline.conftest import run_command
from tests.pipeline.data.conftest import Data


def test_names_are_those_of_the_findings() -> None:
    assert kinds_to_fail_on(" copies, near_duplicates,", with_run=False) == ("copies", "near_duplicates")
    assert kinds_to_fail_on("", with_run=False) == ()
    with pytest.raises(UsageError, match=r"--fail-on near_duplicate: no such finding; did you mean near_duplicates\?"):
        kinds_to_fail_on("near_duplicate", with_run=False)
    with pytest.raises(UsageError, match="no student is asked about labels"):
        kinds_to_fail_on("label_suspects", with_run=False)
    assert kinds_to_fail_on("label_suspects", with_run=True) == ("label_suspects",)


def test_every_finding_is_counted(odd: Path) -> None:
    found = counts(inspect(Data(root=str(odd))))
    assert {*found, "label_suspects"} == set(FAILING)
    assert (found["unreadable"], found["copies"], found["across_splits"], found["in_several_classes"]) == (1, 1, 2, 1)
    require_none(found, ())
    with pytest.raises(GateError, match=r"unreadable 1, copies 1\n"):
        require_none(found, ("unreadable", "copies", "near_duplicates"))


def test_command_ends_with_3_where_asked_and_still_tells_all(odd: Path, tmp_path: Path) -> None:
    arguments = ("data", "inspect", odd, "--sheet", tmp_path / "out" / "s.png")
    outcome = run_command(*arguments, "--fail-on", "copies,unreadable")
    assert outcome.code == 3 and "found what --fail-on names: copies 1, unreadable 1" in outcome.err
    assert "contact sheet of 2 classes" in outcome.out
    assert run_command(*arguments, "--fail-on", "near_duplicates").code == 0
