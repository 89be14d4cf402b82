"""An interrupt reaches its caller, whatever a library makes of it."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporters.core.interrupts import Terminated, interrupt_in, interrupts_kept, raise_on_termination
from exporters.onnx.export import export_onnx
from tests.exporters.conftest import Exported


@pytest.fixture(autouse=True)
def interrupts_heard() -> Iterator[None]:
    """A process that was started in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
