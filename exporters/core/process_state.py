"""State of the whole process that libraries require us to change: changed for a block and then restored.

Blocks of several threads may overlap: the first one makes the change, the last one undoes it. Whoever uses the Python
API finds logging, warnings, environment, random generators and signal handlers as they were, with these exceptions:

- `ORT_DISABLE_TELEMETRY` is set on import (`exporters/__init__.py`): ONNX Runtime reads it when it is loaded, which may
  be by others, and would otherwise report what it runs.
- tqdm, whose bars PyTorch's exporter makes, keeps a thread that watches them.
- open_clip and timm learn the names of networks that they are given (`pipeline/models`): names are only added.

The commands own their process: `pipeline/__main__.py` sets how threads wait, streams and signal handlers for good.
"""

import contextlib
import io
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager


class _Shared:
    """A change that the first of several overlapping blocks makes, and the last one undoes.

    Args:
        change: makes it, and undoes it.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[None]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._blocks = 0
        self._undo = ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._blocks:
                self._undo.enter_context(self._change())
            self._blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if not self._blocks:
                    self._undo.close()


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _without_logs() -> Iterator[None]:
    previous, nothing = logging.root.manager.disable, logging.NullHandler()
    logging.root.addHandler(nothing)  # without one, `logging.info(…)` of a library would add one that stays
    logging.disable(max(previous, logging.ERROR))
    try:
        yield
    finally:
        logging.disable(previous)
        logging.root.removeHandler(nothing)


@contextmanager
def _without_output() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


no_warnings = _Shared(_without_warnings)
"""A block in which Python's warnings are not shown."""

_no_logs = _Shared(_without_logs)

silent = _Shared(_without_output)
"""A block in which what is printed by Python goes nowhere."""


@contextmanager
def quiet() -> Iterator[None]:
    """A block in which no warning is shown and nothing below CRITICAL is logged: what goes wrong there is raised."""
    with no_warnings(), _no_logs():
        yield


_variables: dict[tuple[str, str], _Shared] = {}


@contextmanager
def without_draws() -> Iterator[None]:
    """A block after which PyTorch's generator on the CPU is as it was: for a network whose weights are loaded next."""
    import torch

    with torch.random.fork_rng(devices=[]):
        yield


def environment(name: str, value: str) -> AbstractContextManager[None]:
    """A block in which an environment variable has a value, unless it has one already."""

    @contextmanager
    def change() -> Iterator[None]:
        if name in os.environ:
            yield
            return
        os.environ[name] = value
        try:
            yield
        finally:
            os.environ.pop(name, None)

    return _variables.setdefault((name, value), _Shared(change))()
