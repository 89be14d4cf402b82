"""Seconds by part of a repeated work, such as a training epoch: cheap enough to be always on."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

OUTSIDE = "other"
"""The part that stands for what no block names."""

_UNTIMED: AbstractContextManager[None] = nullcontext()
_PENDING = 64  # events between two looks at which of them a GPU has passed


class PartTimer:
    """Adds up the seconds of named blocks; a block within a block counts for itself alone, so that no second is twice.

    The one who owns the work has the timer, and whoever wants the figures measures with it: a teacher, for example,
    marks its parts on its `timer`, which costs nothing until a training measures.

    On a GPU, the seconds are those of the device: events mark the blocks in its stream, and are read once it has passed
    them, so that no block waits for the device.

    Example:
        >>> timer = PartTimer()
        >>> with timer.measured():
        ...     with timer.part("teacher"):
        ...         with timer.part("clip"):
        ...             pass
        >>> sorted(timer.seconds())
        ['clip', 'other', 'teacher']
    """

    def __init__(self) -> None:
        self._clock: _HostClock | _DeviceClock = _HostClock()
        self._running = False
        self._open = [OUTSIDE]
        # One for each name, since entering a block must be cheap.
        self._parts: dict[str, _Part] = {}

    def part(self, name: str) -> AbstractContextManager[None]:
        """A block whose seconds count for this part; nothing is measured outside `measured`."""
        if not self._running:
            return _UNTIMED
        if name not in self._parts:
            self._parts[name] = _Part(self, name)
        return self._parts[name]

    @contextmanager
    def measured(self, device: "torch.device | None" = None) -> Iterator[None]:
        """A block in which parts are measured, from zero.

        Args:
            device: where the work is done; None: the CPU.
        """
        self._clock = _cuda_clock(device) if device is not None and device.type == "cuda" else _HostClock()
        self._running, self._open = True, [OUTSIDE]
        self._clock.mark(OUTSIDE)
        try:
            yield
        finally:
            self._clock.mark(self._open[-1])
            self._running = False

    def seconds(self, wait: bool = True) -> dict[str, float]:
        """Part → seconds since `measured` began, up to the last change of parts; the rest of them as `other`.

        Args:
            wait: for a GPU to end its work; else what it has passed so far counts.
        """
        return self._clock.seconds(wait)

    def _enter(self, name: str) -> None:
        self._clock.mark(self._open[-1])
        self._open.append(name)

    def _exit(self) -> None:
        self._clock.mark(self._open.pop())


class _Part:
    """A block of one part; may be entered again and again, also within itself."""

    __slots__ = ("_name", "_timer")

    def __init__(self, timer: PartTimer, name: str) -> None:
        self._timer, self._name = timer, name

    def __enter__(self) -> None:
        self._timer._enter(self._name)

    def __exit__(self, *_error: object) -> None:
        self._timer._exit()


class _HostClock:
    """Seconds of the processor's clock between marks; each mark names the part that ends there."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._last: float | None = None
        self._seconds: dict[str, float] = {}

    def mark(self, ending: str) -> None:
        now = self._now()
        if self._last is not None:
            self._seconds[ending] = self._seconds.get(ending, 0.0) + now - self._last
        self._last = now

    def seconds(self, wait: bool) -> dict[str, float]:
        return dict(self._seconds)


class _DeviceClock:
    """The same of a device's stream.

    Args:
        recorded: records an event in the stream; reuses the event that it is given.
    """

    def __init__(self, recorded: Callable[[Any], Any]) -> None:
        self._recorded = recorded
        self._pending: deque[tuple[str, Any]] = deque()
        self._free: list[Any] = []
        self._seconds: dict[str, float] = {}

    def mark(self, ending: str) -> None:
        self._pending.append((ending, self._recorded(self._free.pop() if self._free else None)))
        if len(self._pending) % _PENDING == 0:
            self._read()

    def seconds(self, wait: bool) -> dict[str, float]:
        if wait and self._pending:
            self._pending[-1][1].synchronize()
        self._read()
        return dict(self._seconds)

    def _read(self) -> None:
        """Add up what lies between events that the device has passed; these can be used again."""
        while len(self._pending) > 1 and self._pending[1][1].query():
            _, begin = self._pending.popleft()
            ending, end = self._pending[0]
            self._seconds[ending] = self._seconds.get(ending, 0.0) + begin.elapsed_time(end) / 1000
            self._free.append(begin)


def _cuda_clock(device: "torch.device") -> _DeviceClock:
    import torch

    stream = torch.cuda.current_stream(device)  # asked for once: asking takes longer than recording

    def recorded(event: Any) -> Any:
        event = event if event is not None else torch.cuda.Event(enable_timing=True)
        event.record(stream)
        return event

    return _DeviceClock(recorded)
