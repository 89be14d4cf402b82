"""An interrupt reaches its caller, whatever a library makes of it."""

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from exporters.core import interrupts
from exporters.core.interrupts import (
    Terminated,
    interrupt_in,
    interrupts_deferred,
    interrupts_kept,
    raise_on_termination,
)
from exporters.onnx.export import export_onnx
from tests.exporters.conftest import Exported

pytestmark = pytest.mark.usefixtures("interrupts_heard")


def interrupted() -> None:
    signal.raise_signal(signal.SIGINT)


def swallow() -> None:
    """As a guard in torch does that must never fail."""
    with contextlib.suppress(BaseException):
        interrupted()


def wrap() -> None:
    """As an exporter does that reports every failure in its own words."""
    try:
        try:
            interrupted()
        except BaseException as error:
            raise ValueError("step 1 of 3 failed") from error
    except Exception as error:
        raise RuntimeError("cannot be exported. Next steps: …") from error


def replace() -> None:
    """As C code does that loses the error behind a failed call."""
    swallow()
    raise SystemError("returned a result with an exception set")


@pytest.mark.parametrize("library", [interrupted, swallow, wrap, replace])
def test_interrupt_is_raised_once_more(library: Any) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        library()
    assert signal.getsignal(signal.SIGINT) is before


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(ValueError, match="planted"), interrupts_kept():
        raise ValueError("planted")
    with interrupts_kept():
        pass


def test_handler_that_does_not_raise_is_no_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: heard.append(number))
    try:
        with interrupts_kept():
            interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def test_wrapped_interrupt_is_found_in_another_thread() -> None:
    raised: list[BaseException] = []

    def work() -> None:
        try:
            with interrupts_kept():
                raise RuntimeError("wrapped") from KeyboardInterrupt()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert isinstance(raised[0], KeyboardInterrupt)


def test_interrupt_is_found_behind_causes_and_contexts() -> None:
    interrupt = Terminated()
    error = RuntimeError("outer")
    error.__cause__ = ValueError("inner")
    error.__cause__.__context__ = interrupt
    interrupt.__context__ = error  # a circle
    assert interrupt_in(error) is interrupt
    assert interrupt_in(ValueError("alone")) is None and interrupt_in(None) is None


@pytest.fixture
def termination() -> Any:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    raise_on_termination()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_termination_is_raised_and_kept(termination: Any, number: signal.Signals) -> None:
    with pytest.raises(Terminated) as caught, interrupts_kept(), contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(number)
    assert caught.value.number == number


def test_forked_processes_end_on_sigterm_at_once(termination: Any) -> None:
    with interrupts_kept():
        child = os.fork()
        if child == 0:  # pragma: no cover
            try:
                time.sleep(60)
            finally:
                os._exit(1)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM


@pytest.mark.parametrize("library", [swallow, wrap, replace])
def test_interrupt_in_the_onnx_exporter_is_no_failed_export(
    cifar: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Any
) -> None:
    export = __import__("torch").onnx.export

    def interrupted_export(*arguments: Any, **options: Any) -> Any:
        library()
        return export(*arguments, **options)

    monkeypatch.setattr("torch.onnx.export", interrupted_export)
    with pytest.raises(KeyboardInterrupt):
        export_onnx(cifar.student, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_first_interrupt_waits_until_it_is_asked_for(termination: Any) -> None:
    before = signal.getsignal(signal.SIGINT)
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), interrupts_kept(), interrupts_deferred() as deferred:
        deferred.raise_now()  # nothing so far
        interrupted()
        assert deferred.number == signal.SIGINT
        done.append("step")
        deferred.raise_now()
        done.append("another step")
    assert done == ["step"] and signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_deferred_interrupt_is_raised_at_the_end_of_the_block(termination: Any, number: signal.Signals) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt) as caught, interrupts_deferred():
        signal.raise_signal(number)
        done.append("all")
    assert done == ["all"] and getattr(caught.value, "number", signal.SIGINT) == number


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_second_interrupt_is_raised_at_once(termination: Any, second: signal.Signals) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt) as caught, interrupts_deferred():
        signal.raise_signal(signal.SIGTERM)
        done.append("one")
        signal.raise_signal(second)
        done.append("two")
    assert done == ["one"] and isinstance(caught.value, Terminated) is (second == signal.SIGTERM)


def test_repeated_interrupt_counts_once_for_a_while() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), interrupts_deferred(repeats=60.0):
        interrupted()
        interrupted()
        done.append("all")
    assert done == ["all"]


def test_error_of_an_interrupted_block_is_the_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, interrupts_deferred():
        interrupted()
        raise ValueError("a process of ours was interrupted as well")
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(ValueError, match="planted"), interrupts_deferred():
        raise ValueError("planted")


def test_interrupt_of_another_process_is_raised_here() -> None:
    with interrupts_deferred() as deferred:
        with pytest.raises(KeyboardInterrupt):
            deferred.raise_now(signal.SIGINT)
        with pytest.raises(Terminated) as caught:
            deferred.raise_now(signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM


def test_nothing_is_deferred_in_another_thread() -> None:
    handlers: list[Any] = []

    def work() -> None:
        with interrupts_deferred() as deferred:
            handlers.append(signal.getsignal(signal.SIGINT))
            assert deferred.number == 0

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


def test_forked_process_ends_at_once_where_the_main_one_defers(termination: Any) -> None:
    with interrupts_deferred() as deferred:
        child = os.fork()
        if child == 0:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        assert deferred.number == 0


class Finalized:
    """Hears a signal while it is finalized, where Python prints an error and goes on."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_that_a_finalizer_lost_is_raised_in_what_was_running(
    termination: Any, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    went_on = False
    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt) as caught, interrupts_kept():
        Finalized(number)
        for _ in range(1000):
            time.sleep(0.05)
        went_on = True
    assert not went_on and isinstance(caught.value, Terminated) is (number == signal.SIGTERM)
    assert capfd.readouterr().err == "" and sys.unraisablehook is hook


def test_interrupt_that_the_end_of_the_block_raises_does_not_come_again(
    termination: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    again: list[int] = []
    monkeypatch.setattr(interrupts, "_signal_main_thread", again.append)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        Finalized(signal.SIGINT)
    for timer in set(threading.enumerate()) - before:
        timer.join()
    assert again == []


def test_other_errors_of_finalizers_are_printed_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: seen.append(lost.exc_type))

    class Failing:
        def __del__(self) -> None:
            raise ValueError

    with interrupts_kept():
        Failing()
    assert seen == [ValueError]
