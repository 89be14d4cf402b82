"""Interrupts that reach the caller even if a library swallows them or turns them into other errors."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, SimpleNamespace
from typing import Any, NoReturn

_TERMINATION = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_fork = SimpleNamespace()


class Terminated(KeyboardInterrupt):
    """Raised on a signal that asks the process to end; like Ctrl-C, it lets unfinished files be removed."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number


def raise_on_termination() -> None:
    """From now on, SIGTERM and SIGHUP raise `Terminated` in the main thread, unless they are ignored or handled.

    Processes that are forked from this one end on SIGTERM at once, as before.
    """
    for number in _TERMINATION:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminate)
    if hasattr(os, "register_at_fork") and not hasattr(_fork, "registered"):
        _fork.registered = True
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_end_at_once)


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated(number)


def _block() -> None:
    # A signal that reached the child before it has its own handlers would be lost.
    _fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINATION)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _fork.mask)


def _end_at_once() -> None:
    for number in _TERMINATION:
        handler = signal.getsignal(number)
        while isinstance(handler, _Recorder):
            handler = handler.previous
        if handler is _terminate:
            signal.signal(number, signal.SIG_DFL)
    _unblock()


def interrupt_in(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interrupt among an error, its causes and its contexts; None without one."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        if isinstance(found, KeyboardInterrupt):
            return found
        seen.add(id(found))
        waiting += [found.__cause__, found.__context__]
    return None


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Raise an interrupt again at the end of the block if a library swallowed it or raised another error instead.

    A signal whose handler does not raise, such as a server's, is no interrupt. Only the main thread receives signals;
    in other threads, an interrupt behind an error is raised.
    """
    received: list[BaseException] = []
    restore = _record(received) if threading.current_thread() is threading.main_thread() else {}
    try:
        try:
            yield
        except Exception as error:
            interrupt = received[-1] if received else interrupt_in(error)
            if interrupt is None:
                raise
            raise _copy(interrupt) from error
    finally:
        for number, (ours, previous) in restore.items():
            if signal.getsignal(number) is ours:
                signal.signal(number, previous)
    if received:
        raise _copy(received[-1])


class _Recorder:
    """A signal handler that records what the previous handler raises."""

    def __init__(self, previous: Callable[[int, FrameType | None], Any], received: list[BaseException]) -> None:
        self.previous = previous
        self._received = received

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            self.previous(number, frame)
        except KeyboardInterrupt as error:
            self._received.append(error)
            raise


def _record(received: list[BaseException]) -> dict[int, tuple[Any, Any]]:
    """Record what the current signal handlers raise; gives (ours, previous) by signal number."""

    restore: dict[int, tuple[Any, Any]] = {}
    for number in (signal.SIGINT, *_TERMINATION):
        previous = signal.getsignal(number)
        if callable(previous):
            ours = _Recorder(previous, received)
            restore[number] = (ours, previous)
            signal.signal(number, ours)
    return restore


def _copy(interrupt: BaseException) -> KeyboardInterrupt:
    return Terminated(interrupt.number) if isinstance(interrupt, Terminated) else KeyboardInterrupt()
