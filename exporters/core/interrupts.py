"""Interrupts that reach the caller even if a library swallows them or turns them into other errors."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType, SimpleNamespace
from typing import Any, NoReturn

_TERMINATION = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_AGAIN = 0.05
"""Seconds after which an interrupt comes again that was raised where errors are lost."""

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
        while isinstance(handler, _Recorder | _Deferrer):
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

    One that came while a finalizer or a callback of the garbage collector ran, whose errors Python prints and forgets,
    is raised again at once, in the code that was running.

    A signal whose handler does not raise, such as a server's, is no interrupt. Only the main thread receives signals;
    in other threads, an interrupt behind an error is raised.
    """
    received: list[BaseException] = []
    in_main = threading.current_thread() is threading.main_thread()
    restore = _record(received) if in_main else {}
    try:
        try:
            with _not_lost_in_finalizers() if in_main else nullcontext():
                yield
        except Exception as error:
            interrupt = received[-1] if received else interrupt_in(error)
            if interrupt is None:
                raise
            raise _copy(interrupt) from error
    finally:
        _put_back(restore)
    if received:
        raise _copy(received[-1])


@contextmanager
def _not_lost_in_finalizers() -> Iterator[None]:
    previous, timers = sys.unraisablehook, list[threading.Timer]()

    def hook(lost: "sys.UnraisableHookArgs") -> None:
        if isinstance(lost.exc_value, KeyboardInterrupt):
            number = lost.exc_value.number if isinstance(lost.exc_value, Terminated) else signal.SIGINT
            timer = threading.Timer(_AGAIN, _signal_main_thread, (number,))  # here, it would be lost as well
            timer.daemon = True
            timers.append(timer)
            timer.start()
        else:
            previous(lost)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        if sys.unraisablehook is hook:
            sys.unraisablehook = previous
        for timer in timers:  # the end of the block raises it: once more, it would break off what tidies up
            timer.cancel()


def _signal_main_thread(number: int) -> None:
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:
        signal.raise_signal(number)


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
    return _replace_handlers(lambda previous: _Recorder(previous, received))


def _replace_handlers(wrapped: Callable[[Any], Any]) -> dict[int, tuple[Any, Any]]:
    """Wrap the handlers of all signals that ask the process to end, but for those that are ignored or not Python's."""
    restore: dict[int, tuple[Any, Any]] = {}
    for number in (signal.SIGINT, *_TERMINATION):
        previous = signal.getsignal(number)
        if callable(previous):
            ours = wrapped(previous)
            restore[number] = (ours, previous)
            signal.signal(number, ours)
    return restore


def _put_back(restore: dict[int, tuple[Any, Any]]) -> None:
    for number, (ours, previous) in restore.items():
        if signal.getsignal(number) is ours:
            signal.signal(number, previous)


class DeferredInterrupt:
    """The interrupt that a block of `interrupts_deferred` has received, if any.

    Attributes:
        number: of the first signal; 0 as long as there was none.
    """

    def __init__(self) -> None:
        self.number = 0
        self._since = 0.0
        self._handler: Callable[[int, FrameType | None], Any] | None = None

    def note(self, number: int, handler: Callable[[int, FrameType | None], Any]) -> None:
        """Remember the first signal, and what would have been done at once."""
        self.number, self._handler, self._since = number, handler, time.monotonic()

    def seconds(self) -> float:
        """Seconds since the first signal."""
        return time.monotonic() - self._since

    def raise_now(self, number: int = 0) -> None:
        """Do what the signal would have done at once, which is to raise the interrupt; nothing without a signal.

        Args:
            number: of a signal that another process has received, where this one received none.
        """
        if self._handler is not None:
            self._handler(self.number, None)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        elif number:
            raise Terminated(number)


@contextmanager
def interrupts_deferred(repeats: float = 0.0) -> Iterator[DeferredInterrupt]:
    """Let the first interrupt wait until the block asks for it, or ends; a second one is raised at once.

    Outside the main thread, which alone receives signals, nothing is deferred.

    Args:
        repeats: seconds in which a further signal counts as the first one, for processes that are told twice: by the
            terminal, and by the process that has started them.
    """
    deferred = DeferredInterrupt()
    restore: dict[int, tuple[Any, Any]] = {}
    if threading.current_thread() is threading.main_thread():
        restore = _replace_handlers(lambda previous: _Deferrer(previous, deferred, repeats))
    try:
        try:
            yield deferred
        except Exception as error:
            # What is deferred may be why the block failed: those who help it were interrupted as well.
            try:
                deferred.raise_now()
            except KeyboardInterrupt as interrupt:
                raise interrupt from error
            raise
    finally:
        _put_back(restore)
    deferred.raise_now()


class _Deferrer:
    """A signal handler that lets the first signal wait."""

    def __init__(
        self, previous: Callable[[int, FrameType | None], Any], deferred: DeferredInterrupt, repeats: float
    ) -> None:
        self.previous = previous
        self._deferred = deferred
        self._repeats = repeats

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self._deferred.number:
            self._deferred.note(number, self.previous)
        elif self._deferred.seconds() >= self._repeats:
            self.previous(number, frame)


def _copy(interrupt: BaseException) -> KeyboardInterrupt:
    return Terminated(interrupt.number) if isinstance(interrupt, Terminated) else KeyboardInterrupt()
