"""Trials in the journal: resumed, divided between processes, and never lost or done twice."""

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from exporters.core.errors import GateError, UnavailableError
from pipeline.search import journal as module
from pipeline.search.journal import JOURNAL, LOCKS, Done, Journal, Result, in_turn, require_optuna
from pipeline.search.space import Asked, Training
from tests.pipeline.search.making import asked_on

Task = tuple[Training, int]


@pytest.fixture
def asked(tiny_recipe: Path) -> Asked:
    return asked_on(tiny_recipe)


def tasks(asked: Asked) -> list[Task]:
    return [(each, 2) for each in asked.trainings]


def left(asked: Asked, done: Done) -> list[Task]:
    return [task for task in tasks(asked) if task not in done]


def test_results_are_those_that_were_written(asked: Asked, tmp_path: Path) -> None:
    files = {"fp32": {"top1": 0.5, "latency_ms": 1.0, "size": 10}}
    expected = [Result(0.5, "", files, 0.4), Result(None, "the loss is not finite")]
    for result in expected:
        with Journal(tmp_path, asked).claim(lambda done: left(asked, done)) as claim:
            assert claim is not None
            claim.finish(result)
    assert list(Journal(tmp_path, asked).done().values()) == expected
    assert list(Journal(tmp_path, asked).done()) == tasks(asked)[:2]


def test_a_trial_at_work_is_not_given_again(asked: Asked, tmp_path: Path) -> None:
    with Journal(tmp_path, asked).claim(lambda done: left(asked, done)) as first:
        with Journal(tmp_path, asked).claim(lambda done: left(asked, done)) as second:
            assert first is not None and second is not None
            assert (first.training, first.epochs) != (second.training, second.epochs)
        with Journal(tmp_path, asked).claim(lambda _: tasks(asked)[:1]) as third:
            assert third is None


def test_a_trial_that_was_broken_off_is_given_again(asked: Asked, tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        Journal(tmp_path, asked).claim(lambda done: left(asked, done)) as first,
    ):
        raise KeyboardInterrupt
    with Journal(tmp_path, asked).claim(lambda done: left(asked, done)) as second:
        assert first is not None and second is not None
        assert (second.training, second.epochs) == (first.training, first.epochs)
    assert Journal(tmp_path, asked).done() == {}


def test_another_question_in_the_same_folder_has_trials_of_its_own(
    asked: Asked, tiny_recipe: Path, tmp_path: Path
) -> None:
    with Journal(tmp_path, asked).claim(lambda done: left(asked, done)) as claim:
        assert claim is not None
        claim.finish(Result(0.5))
    other = asked_on(tiny_recipe, "train.lr=0.01")
    assert Journal(tmp_path, other).done() == {} and len(Journal(tmp_path, asked).done()) == 1


def test_latency_is_measured_once(asked: Asked, tmp_path: Path) -> None:
    measured: list[int] = []

    def measure() -> dict[str, float]:
        measured.append(1)
        return {"p50_ms": 1.5}

    assert [Journal(tmp_path, asked).latency("a", measure) for _ in range(3)] == [{"p50_ms": 1.5}] * 3
    assert len(measured) == 1
    Journal(tmp_path, asked).latency("b", measure)
    assert len(measured) == 2


def test_half_a_line_of_a_killed_process_is_cut_off(asked: Asked, tmp_path: Path) -> None:
    with Journal(tmp_path, asked).claim(lambda done: left(asked, done)) as claim:
        assert claim is not None
        claim.finish(Result(0.5))
    whole = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(whole + b'{"op_code":6,"wor')
    assert [each.top1 for each in Journal(tmp_path, asked).done().values()] == [0.5]
    assert (tmp_path / JOURNAL).read_bytes().startswith(whole)
    with Journal(tmp_path, asked).claim(lambda done: left(asked, done)) as claim:
        assert claim is not None
        claim.finish(Result(0.25))
    assert [each.top1 for each in Journal(tmp_path, asked).done().values()] == [0.5, 0.25]


def test_a_damaged_journal_is_one_clear_error(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(b"no journal\n{}\n")
    with pytest.raises(GateError, match=r"journal\.log cannot be read"):
        Journal(tmp_path, asked).done()


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_optuna()
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    with pytest.raises(UnavailableError) as error:
        require_optuna()
    assert "tmkd-pipeline[search]" in str(error.value)


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    waited: list[str] = []
    order: list[str] = []
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(tmp_path / "lock", 0.5))
    process.start()
    while not (tmp_path / "lock").is_file() or not (tmp_path / "lock").read_text():
        time.sleep(0.01)
    with in_turn(tmp_path / "lock", waited.append):
        order.append("in")
    process.join()
    assert waited == [str(process.pid)] and order == ["in"]


def _hold(lock: Path, seconds: float) -> None:
    with in_turn(lock):
        time.sleep(seconds)


def test_two_processes_divide_the_trials_and_none_is_done_twice(asked: Asked, tmp_path: Path) -> None:
    workers = [_started(tmp_path, asked) for _ in range(2)]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    done = [line.split() for path in tmp_path.glob("done-*") for line in path.read_text().splitlines()]
    assert sorted(number for number, _ in done) == sorted(map(str, range(len(tasks(asked)))))
    assert set(Journal(tmp_path, asked).done()) == set(tasks(asked))


def test_trials_of_a_killed_process_are_taken_up_by_another(asked: Asked, tmp_path: Path) -> None:
    stuck = multiprocessing.get_context("fork").Process(target=_take_and_hang, args=(tmp_path, asked))
    stuck.start()
    while not list((tmp_path / LOCKS).glob(f"{asked.identity}-*.lock")):
        time.sleep(0.01)
    assert stuck.pid is not None
    os.kill(stuck.pid, signal.SIGKILL)
    stuck.join()
    worker = _started(tmp_path, asked)
    worker.join()
    assert worker.exitcode == 0 and set(Journal(tmp_path, asked).done()) == set(tasks(asked))


def _started(folder: Path, asked: Asked) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=_work, args=(folder, asked))
    process.start()
    return process


def _work(folder: Path, asked: Asked) -> None:
    """Do all trials; each is noted in a file of this process by its place in `tasks`."""
    every = tasks(asked)

    def choose(done: Done) -> Sequence[Task]:
        return left(asked, done)

    while left(asked, Journal(folder, asked).done()):
        with Journal(folder, asked).claim(choose) as claim:
            if claim is not None:
                with (folder / f"done-{os.getpid()}").open("a") as stream:
                    stream.write(f"{every.index((claim.training, claim.epochs))} {os.getpid()}\n")
                claim.finish(Result(0.5))


def _take_and_hang(folder: Path, asked: Asked) -> None:
    with Journal(folder, asked).claim(lambda done: left(asked, done)):
        time.sleep(60)
