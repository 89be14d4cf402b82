"""Which trials come next, and the budget; whole searches are run in test_search.py."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipeline.console import Console
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from pipeline.search.halving import Costs
from pipeline.search.journal import Done, Journal, Result
from pipeline.search.space import Asked, Training
from pipeline.search.work import Worker, first_of_each, next_trials, racing, run_folders, spent_hours
from tests.pipeline.search.making import COSTS, STUDENTS, asked_on

EQUAL: dict[str, list[Costs]] = {student: [(1.0, 100)] for student in STUDENTS}


def test_a_rung_is_whole_before_the_next_begins(tiny_recipe: Path) -> None:
    asked = asked_on(tiny_recipe)
    done: Done = {}
    for training in asked.trainings:
        assert (training, 2) in next_trials(asked, asked.trainings, EQUAL, done)
        assert all(epochs == 2 for _, epochs in next_trials(asked, asked.trainings, EQUAL, done))
        done[training, 2] = Result(0.9 if training.method == "kd" else 0.1)
    assert next_trials(asked, asked.trainings, EQUAL, done) == [(each, 4) for each in kd(asked)]
    done |= {(each, 4): Result(0.9) for each in kd(asked)}
    assert next_trials(asked, asked.trainings, EQUAL, done) == []


def kd(asked: Asked) -> list[Training]:
    return [each for each in asked.trainings if each.method == "kd"]


def test_failed_trainings_do_not_go_on(tiny_recipe: Path) -> None:
    asked = asked_on(tiny_recipe)
    done: Done = {(each, 2): Result(None, "the loss is not finite") for each in asked.trainings}
    assert racing(asked, asked.trainings, EQUAL, done)[1:] == [[]]
    assert next_trials(asked, asked.trainings, EQUAL, done) == []


@given(st.permutations(range(4)), st.integers(0, 4))
def test_what_comes_next_does_not_depend_on_who_ended_first(order: list[int], ended: int) -> None:
    asked = _ASKED[0]
    scores = [0.1, 0.4, 0.3, 0.2]
    pairs = [((asked.trainings[place], 2), Result(scores[place])) for place in order[:ended]]
    expected = next_trials(asked, asked.trainings, EQUAL, dict(sorted(pairs, key=lambda pair: pair[0][0].name)))
    assert next_trials(asked, asked.trainings, EQUAL, dict(pairs)) == expected


_ASKED: list[Asked] = []


def setup_module() -> None:
    _ASKED.append(asked_on(Path("quickstart"), "train.epochs=4"))


def test_shared_stages_count_once_and_killed_attempts_count(tmp_path: Path) -> None:
    for name, record in (
        ("prepared/kd", StageRecord("teacher", "done", "a", seconds=3600)),
        ("runs/x/epochs-2", StageRecord("teacher", "done", "a", seconds=3600)),
        ("runs/y/epochs-2", StageRecord("distill", "failed", "b", seconds=1800, message="stopped")),
        ("runs/y/epochs-4", StageRecord("race", "skipped", "", seconds=99, message="no")),
    ):
        RunDirectory(tmp_path / name).write_record(record)
    assert spent_hours(tmp_path) == 1.5
    assert [path.name for path in run_folders(tmp_path)] == ["kd", "epochs-2", "epochs-2", "epochs-4"]


def test_no_trial_begins_after_the_budget(tiny_recipe: Path, tmp_path: Path) -> None:
    asked = asked_on(tiny_recipe)
    RunDirectory(tmp_path / "prepared" / "kd").write_record(StageRecord("teacher", "done", "a", seconds=3600))
    journal = Journal(tmp_path, asked)
    assert Worker(asked, tmp_path, journal, COSTS, 1.0, Console(quiet=True)).work() is False
    assert journal.done() == {} and not (tmp_path / "runs").exists()


def test_without_entrants_there_is_nothing_to_do(tiny_recipe: Path, tmp_path: Path) -> None:
    asked = asked_on(tiny_recipe)
    assert Worker(asked, tmp_path, Journal(tmp_path, asked), {}, 1.0, Console(quiet=True)).work() is True


def test_first_of_each_keeps_the_order() -> None:
    trainings = [Training(student, method) for method in ("kd", "ce") for student in STUDENTS]
    assert first_of_each(trainings, lambda each: each.student) == trainings[:2]
    assert first_of_each(trainings, lambda each: each.method) == [trainings[0], trainings[2]]
