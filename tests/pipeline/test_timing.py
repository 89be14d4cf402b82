import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline import timing
from pipeline.timing import PartTimer


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows."""
    now = [0.0]
    monkeypatch.setattr(timing._HostClock.__init__, "__defaults__", (lambda: now[0],))
    return now


def test_part_within_a_part_counts_for_itself_alone(seconds: list[float]) -> None:
    timer = PartTimer()
    with timer.measured():
        seconds[0] += 1
        with timer.part("teacher"):
            seconds[0] += 2
            with timer.part("views"):
                seconds[0] += 4
                with timer.part("views"):
                    seconds[0] += 8
            seconds[0] += 16
            with timer.part("clip"):
                seconds[0] += 32
        seconds[0] += 64
    assert timer.seconds() == {"other": 65, "teacher": 18, "views": 12, "clip": 32}


def test_nothing_is_measured_before_and_after(seconds: list[float]) -> None:
    timer = PartTimer()
    with timer.part("teacher"):
        seconds[0] += 1
    for _ in range(2):  # from zero each time
        with timer.measured(), timer.part("teacher"):
            seconds[0] += 2
        with timer.part("teacher"):
            seconds[0] += 4
        assert timer.seconds() == {"other": 0, "teacher": 2}


def test_part_ends_with_an_error(seconds: list[float]) -> None:
    timer = PartTimer()
    with pytest.raises(ValueError, match="broken"), timer.measured(), timer.part("teacher"):
        seconds[0] += 1
        raise ValueError("broken")
    with timer.measured():
        seconds[0] += 2
    assert timer.seconds() == {"other": 2}


class Event:
    """An event of a stream that has passed all events numbered below `passed`; event n is at n² milliseconds."""

    passed = 0
    made = 0
    waits = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def query(self) -> bool:
        return self.number < Event.passed

    def synchronize(self) -> None:
        Event.waits += 1
        Event.passed = max(Event.passed, self.number + 1)

    def elapsed_time(self, end: "Event") -> float:
        assert self.query() and end.query()
        return float(end.number**2 - self.number**2)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    numbers = itertools.count()

    def recorded(event: Any) -> Event:
        if event is None:
            Event.made += 1
            return Event(next(numbers))
        event.number = next(numbers)
        return event

    Event.passed = Event.made = Event.waits = 0
    monkeypatch.setattr(timing, "_cuda_clock", lambda _device: timing._DeviceClock(recorded))
    yield


def on_a_gpu() -> Any:
    return type("Device", (), {"type": "cuda"})()


@pytest.mark.usefixtures("stream")
def test_events_of_a_device_are_read_once_it_has_passed_them() -> None:
    timer = PartTimer()
    with timer.measured(on_a_gpu()):  # event 0
        with timer.part("teacher"), timer.part("clip"):  # 1, 2; 3 and 4 at the end
            pass
        assert timer.seconds(wait=False) == {}
        Event.passed = 3
        assert timer.seconds(wait=False) == {"other": 0.001, "teacher": 0.003}
        assert Event.waits == 0
    assert timer.seconds() == {"other": 0.001 + 0.009, "teacher": 0.003 + 0.007, "clip": 0.005}
    assert Event.waits == 1


@pytest.mark.usefixtures("stream")
def test_events_are_used_again_and_no_step_waits() -> None:
    timer = PartTimer()
    with timer.measured(on_a_gpu()):
        for step in range(1000):
            with timer.part("forward"):
                pass
            Event.passed = 2 * step  # the device is a little behind
        assert Event.waits == 0
    assert Event.made < 200
    assert sum(timer.seconds().values()) == pytest.approx(2001**2 / 1000)
