from typing import Any

import pytest

from pipeline.report.accuracy import COLUMNS, accuracy_rows, gain_lines


def score(top1: float = 0.5, images: int = 100) -> dict[str, Any]:
    return {"top1": top1, "images": images, "chance": 0.25}


def splits(top1: float = 0.5) -> dict[str, Any]:
    return {"validation": score(top1), "test": score(top1)}


def gain(mean: float, verdict: str) -> dict[str, Any]:
    return {"test": {"mean": mean, "interval": [mean - 0.01, mean + 0.01], "verdict": verdict}}


def verdict(**changes: Any) -> dict[str, Any]:
    students = {"chosen": splits(0.8), "final": splits(0.7)}
    plain = {**splits(0.4), "epochs": 2, "of": 10, "gain": gain(0.4, "better")}
    fixed = {
        "student": students,
        "teacher": None,
        "plain": plain,
        "base": None,
        "distilled": None,
        "chosen_epoch": 3,
        "passed": True,
    }
    return fixed | {"why": "it is better"} | changes


def test_every_row_has_a_cell_for_each_column() -> None:
    rows = accuracy_rows(verdict(), None, (1234, 5_000_000))
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert rows[0][0] == "plain training, 2 of 10 epochs"


def test_size_of_the_student_is_left_open_before_it_is_exported() -> None:
    ships = [row for row in accuracy_rows(verdict(), None, None) if "ships" in row[0]]
    assert [row[3:] for row in ships] == [["", ""]]
    ships = [row for row in accuracy_rows(verdict(), None, (1234, 5_000_000)) if "ships" in row[0]]
    assert [row[3:] for row in ships] == [["1,234", "5.00 MB"]]


def test_short_baseline_says_how_to_compare_at_the_same_budget() -> None:
    ((line, warns),) = gain_lines(verdict())
    assert "2 of 10 epochs" in line and "student.baseline=full" in line and not warns


def test_student_that_is_worse_than_plain_training_is_a_warning() -> None:
    plain = {**splits(0.9), "epochs": 10, "of": 10, "gain": gain(-0.1, "worse")}
    assert [warns for _line, warns in gain_lines(verdict(plain=plain))] == [True]


@pytest.mark.parametrize("distilled", [None, splits(0.3)])
def test_plain_student_that_ships_in_its_place_is_told_first(distilled: Any) -> None:
    lines = gain_lines(verdict(distilled=distilled))
    assert lines[0][0].startswith("the plain student ships: it is better") is (distilled is not None)


def test_student_that_a_gate_refused_is_not_said_to_ship() -> None:
    refused = verdict(passed=False, distilled=splits(0.3))
    rows = [row[0] for row in accuracy_rows(refused, None, None)]
    assert "plain student, epoch 3 (chosen, refused)" in rows
    words = " ".join(line for line, _warns in gain_lines(refused))
    assert "the plain student is the one that was judged: it is better" in words and "student ships" not in words
