"""Signals while a training goes on: its state is saved, and it goes on as if there had been none."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exporters.core.interrupts import DeferredInterrupt, Terminated, interrupts_deferred, raise_on_termination
from pipeline.data.loading import Batch
from pipeline.training import saving
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import fit
from pipeline.training.meters import EpochMeters
from pipeline.training.saving import Saver
from pipeline.training.state import Progress

from .test_loop import assert_same_outcome
from .toy import STEPS, Call, Net, batches_of, console, make_training, run


@pytest.fixture(autouse=True)
def signals_heard() -> Iterator[None]:
    """As in a process of the command line; one that was started in the background ignores Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    raise_on_termination()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def told(number: int, times: int = 1) -> None:
    for _ in range(times):
        os.kill(os.getpid(), number)


def interrupted_in_a_step(number: int, at: tuple[int, int], times: int = 1) -> Any:
    """Losses of a step at whose beginning the signal arrives."""
    steps = 0

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        nonlocal steps
        if divmod(steps, STEPS) == at:
            told(number, times)
        steps += 1
        return {"ce": nn.functional.cross_entropy(task.logits(call.images), call.labels)}

    return losses


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("at", [(0, 0), (1, 1), (2, 2)])
def test_signal_within_an_epoch_ends_training_after_the_step(number: int, at: tuple[int, int], tmp_path: Path) -> None:
    folders = (tmp_path / "one", tmp_path / "two")
    settings = {"ema": 0.9, "optimizer": "adamw", "lr": 0.01}
    whole = run(make_training(settings=settings), folders[0])
    checkpoint, (shown, stream) = Checkpoint(folders[1] / "checkpoint.pt", "one"), console()
    training = make_training(losses=interrupted_in_a_step(number, at), settings=settings)
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(training, make_fabric("cpu", "fp32"), checkpoint, shown)
    assert isinstance(caught.value, Terminated) is (number != signal.SIGINT)
    assert getattr(caught.value, "number", signal.SIGINT) == number
    saved = checkpoint.load()
    assert saved is not None and (len(saved["history"]), saved["step"]) == (at[0], at[1] + 1)
    said = f"toy: asked to end; the state after epoch {at[0]} and {at[1] + 1} of 3 steps of the next is saved\n"
    assert stream.getvalue().endswith(said)
    torch.manual_seed(99)
    assert_same_outcome(whole, run(make_training(Net(33, 0.5), settings=settings), folders[1]), folders)


def test_batches_of_one_update_are_trained_before_training_ends(tmp_path: Path) -> None:
    training = make_training(losses=interrupted_in_a_step(signal.SIGTERM, (1, 0)), settings={"accumulate": 2})
    with pytest.raises(Terminated):
        run(training, tmp_path)
    saved = Checkpoint(tmp_path / "checkpoint.pt", "one").load()
    assert saved is not None and saved["step"] == 2


def test_signal_while_validating_saves_the_trained_epoch(tmp_path: Path) -> None:
    class Interrupted(Net):
        validated = 0

        def classifier(self) -> Any:
            self.validated += 1
            if self.validated == 2:
                told(signal.SIGTERM)
            return super().classifier()

    folders, settings = (tmp_path / "one", tmp_path / "two"), {"ema": 0.9}
    whole = run(make_training(settings=settings), folders[0])
    with pytest.raises(Terminated):
        run(make_training(Interrupted(1, 0.5), settings=settings), folders[1])
    saved = Checkpoint(folders[1] / "checkpoint.pt", "one").load()
    assert saved is not None and (len(saved["history"]), saved["step"]) == (1, STEPS)
    again = make_training(Net(33, 0.5), settings=settings)
    assert_same_outcome(whole, run(again, folders[1]), folders)
    assert again.loader.asked == [(4, 7, epoch) for epoch in (1, 2, 3)]


def test_signal_between_two_epochs_ends_training_with_the_epoch_logged(tmp_path: Path) -> None:
    logged: list[int] = []

    def note(epoch: int, _metrics: dict[str, float]) -> None:
        logged.append(epoch)
        if epoch == 2:
            told(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(make_training(), tmp_path, note)
    saved = Checkpoint(tmp_path / "checkpoint.pt", "one").load()
    assert logged == [1, 2] and saved is not None and (len(saved["history"]), saved["step"]) == (2, 0)


def test_second_signal_ends_training_at_once(tmp_path: Path) -> None:
    training = make_training(losses=interrupted_in_a_step(signal.SIGTERM, (1, 1), times=2))
    with pytest.raises(Terminated):
        run(training, tmp_path)
    saved = Checkpoint(tmp_path / "checkpoint.pt", "one").load()
    assert saved is not None and (len(saved["history"]), saved["step"]) == (1, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_failure_that_follows_from_the_interrupt_is_one(tmp_path: Path) -> None:
    def batches(epoch: int) -> Iterator[Batch]:
        for step, batch in enumerate(batches_of(epoch)):
            if (epoch, step) == (1, 1):
                told(signal.SIGTERM)
                raise OSError("the process that decodes was ended as well")
            yield batch

    with pytest.raises(Terminated) as caught:
        run(make_training(batches=batches), tmp_path)
    assert isinstance(caught.value.__cause__, OSError)


def test_what_the_teacher_said_is_on_the_disk_before_the_state_is(tmp_path: Path) -> None:
    order: list[str] = []

    class Teacher:
        def __call__(self, *_: Any) -> None:
            pass

        def commit(self) -> None:
            order.append("commit")

    class Noted(Checkpoint):
        def save(self, state: dict[str, Any]) -> None:
            order.append("save")

    checkpoint = Noted(tmp_path / "checkpoint.pt", "one", every_seconds=0)
    fit(
        make_training(teacher=Teacher(), settings={"epochs": 2}),
        make_fabric("cpu", "fp32"),
        checkpoint,
        console()[0],
    )
    assert order == ["commit", "save"] * (2 * STEPS + 2)


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(saving, "time", clock)
    return clock


def saver_of(saved: list[int], every_seconds: float | None) -> Saver:
    progress = Progress()
    trained: Any = SimpleNamespace(state_dict=lambda progress, _meters: {"step": progress.step})
    checkpoint: Any = SimpleNamespace(every_seconds=every_seconds, save=lambda state: saved.append(state["step"]))
    return Saver(make_training(), trained, progress, checkpoint, DeferredInterrupt(), console()[0])


@pytest.mark.parametrize(
    ("every_seconds", "expected"), [(None, []), (0, list(range(1, 13))), (60, [3, 6, 9, 12]), (65, [4, 8, 12])]
)
def test_state_is_saved_where_the_time_since_the_last_one_is_over(
    every_seconds: float | None, expected: list[int], clock: Clock
) -> None:
    saved: list[int] = []
    saver, meters = saver_of(saved, every_seconds), EpochMeters("toy", 0)
    for step in range(1, 13):
        clock.now += 20
        saver.after_step(step, meters)
    assert saved == expected


def test_several_processes_ask_each_other_once_a_second(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bool, int, int]] = []
    others = [(True, 0, 1), (False, signal.SIGTERM, 1)]  # another clock, which does not count, and a signal, which does

    def of_all(mine: tuple[bool, int, int]) -> list[tuple[bool, int, int]]:
        asked.append(mine)
        return [mine, others[0] if len(asked) < 4 else others[1]]

    monkeypatch.setattr(saving, "process_count", lambda: 2)
    monkeypatch.setattr(saving, "of_all", of_all)
    saved: list[int] = []
    saver, meters = saver_of(saved, 3600), EpochMeters("toy", 0)
    with pytest.raises(Terminated):
        for step in range(1, 100):
            clock.now += 0.1
            saver.after_step(step, meters)
    assert [steps for _, _, steps in asked] == [10, 10, 10, 10]
    assert saved == [31]  # after 1, 11, 21 and 31 steps they asked


def test_nothing_is_deferred_once_training_has_ended(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run(make_training(settings={"epochs": 1}), tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before
    with interrupts_deferred() as interrupt:
        assert interrupt.number == 0
