"""A build that reports its progress and can be interrupted with Ctrl-C."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from exporters.tensorrt.libraries import Library

Progress = Callable[[str, float], None]


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Phases:
    """Nested phases as one share: 0 to 1, never less than before."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._share = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> float:
        """A phase begins, inside another or as the outermost."""
        self._phases[name] = _Phase(parent, max(1, steps))
        return self.share

    def step(self, name: str, index: int) -> float:
        """Step `index` (from 0) of a phase is done."""
        if name in self._phases:
            self._phases[name].done = index + 1
        return self.share

    def finish(self, name: str) -> float:
        """A phase is over; the outermost one makes the share 1."""
        phase = self._phases.pop(name, None)
        if phase is not None and phase.parent is None:
            self._share = 1.0
        return self.share

    @property
    def share(self) -> float:
        """Of the outermost phase, a phase inside it counting as a part of its current step."""
        outer = [name for name, phase in self._phases.items() if phase.parent not in self._phases]
        if outer:
            self._share = max(self._share, self._of(outer[0]))
        return self._share

    def _of(self, name: str) -> float:
        phase = self._phases[name]
        inner = [self._of(other) for other, entry in self._phases.items() if entry.parent == name]
        return min(1.0, (phase.done + max(inner, default=0.0)) / phase.steps)


def run_build(library: Library, builder: Any, network: Any, config: Any, progress: Progress | None) -> bytes | None:
    """`build_serialized_network` in a thread of its own, so that Ctrl-C is noticed and ends the build at its next step.

    Args:
        progress: called from that thread with the phase and the share done, 0 to 1; what it raises ends the build.

    Returns:
        The plan, or None where TensorRT could not build one (its log says why).
    """
    cancelled = threading.Event()
    monitor = _make_monitor(library.module, progress, cancelled)
    config.progress_monitor = monitor
    with ThreadPoolExecutor(1, "tensorrt-build") as pool:
        future = pool.submit(builder.build_serialized_network, network, config)
        try:
            plan = future.result()
        except BaseException:
            cancelled.set()  # leaving the pool waits for the thread
            raise
    if monitor.error is not None:
        raise monitor.error
    return None if plan is None else bytes(plan)


def _make_monitor(trt: Any, progress: Progress | None, cancelled: threading.Event) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """An exception must not reach TensorRT, which would end the process: it is kept, and the build is cancelled."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.error: BaseException | None = None
            self._phases = Phases()
            self._lock = threading.Lock()  # TensorRT may call from several threads

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """Called by TensorRT."""
            self._report(phase_name, lambda: self._phases.start(phase_name, parent_phase, num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Called by TensorRT; False ends the build."""
            self._report(phase_name, lambda: self._phases.step(phase_name, step))
            return not cancelled.is_set()

        def phase_finish(self, phase_name: str) -> None:
            """Called by TensorRT."""
            self._report(phase_name, lambda: self._phases.finish(phase_name))

        def _report(self, phase_name: str, change: Callable[[], float]) -> None:
            try:
                with self._lock:
                    share = change()
                    if progress is not None and not cancelled.is_set():
                        progress(phase_name, share)
            except BaseException as error:
                self.error = error
                cancelled.set()

    return Monitor()
