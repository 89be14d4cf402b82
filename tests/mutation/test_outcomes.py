"""Scores are counted as they are told, and only a survivor that is listed counts as equivalent."""

import ast
from pathlib import Path

import pytest

from tests.mutation.outcomes import Change, Outcome, equivalents, judged, listed
from tests.mutation.settings import PARTS, REPOSITORY

SURVIVOR = Change("fuse", "return a + b", "return a - b")
SAME = Change("Weights.scaled", "x = abs(y)", "x = y")


def test_an_equivalent_mutant_counts_in_one_score_alone() -> None:
    outcome = judged(mutants=10, survived=[SURVIVOR, SAME], undecided=0, equivalent={SAME})
    assert outcome.survivors == (SURVIVOR,)
    assert (outcome.score, outcome.score_without_equivalent) == (80.0, pytest.approx(100 * 8 / 9))
    assert str(outcome) == "8 of 10 mutants killed, 80.0 %; without 1 equivalent, 88.9 %"


def test_an_entry_that_no_survivor_answers_to_is_named() -> None:
    assert judged(3, [], undecided=0, equivalent={SAME}).needless == (SAME,)
    assert judged(3, [], undecided=1, equivalent={SAME}).needless == ()


def test_the_counts_of_files_add_up_to_those_of_the_part() -> None:
    total = Outcome(4, (SURVIVOR,), 1, 0) + Outcome(6, (SAME,), 0, 2)
    assert total == Outcome(10, (SURVIVOR, SAME), 1, 2)
    assert total.score == 50.0  # what was not tried is not killed
    assert str(total).endswith("; 2 not tried")


def test_a_mutant_is_not_equivalent_without_a_reason(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text('a.py:\n  - {function: f, line: "x", mutant: "y", reason: ""}\n')
    with pytest.raises(ValueError, match="no reason"):
        equivalents("a.py", tmp_path)


def test_equivalent_mutants_are_of_functions_that_there_are() -> None:
    sources = {
        str(path.relative_to(REPOSITORY))
        for part in PARTS.values()
        for name in part.files
        for path in REPOSITORY.glob(name)
    }
    assert listed()
    for source, changes in listed().items():
        assert source in sources
        names = {n.name for n in ast.walk(ast.parse((REPOSITORY / source).read_bytes())) if hasattr(n, "name")}
        assert {change.function.split(".")[-1] for change in changes} <= names
