"""For all tests: one thread an operator, the same examples on every machine, coverage of our own code alone."""

import functools
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import Phase, settings

# The networks are tiny, and threads of many operators only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A page takes seconds; the tests of the page ask for it.
os.environ["TMKD_REPORT"] = "no"
# So does trying networks before a run.
os.environ["TMKD_ESTIMATE"] = "no"

# A change is judged by what it changed, not by a draw; `make fuzz` draws new examples.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("fuzz", derandomize=False, print_blob=True)
# `make mutation` runs a test once for each mutant; that it fails is enough to know.
settings.register_profile(
    "mutation", derandomize=True, database=None, max_examples=15, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.fixture
def interrupts_heard() -> Iterator[None]:
    """Ctrl-C as Python has it; a shell has it ignored by tests that it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# `make test` names the parts whose coverage it asks for. Counting can double the time of a test: only theirs count.
COUNTED = tuple(f"tests/{part}/" for part in os.environ.get("COVERED", "").split())
_paused: list[Any] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Pause coverage outside the tests of the parts in COVERED; without COVERED all tests count."""
    if item.nodeid.startswith(COUNTED) or not COUNTED:
        while _paused:
            _paused.pop().start()
    elif (coverage := sys.modules.get("coverage")) is not None and (running := coverage.Coverage.current()) is not None:
        running.stop()
        _paused.append(running)


def pytest_collection_finish() -> None:
    """Pause coverage in PyTorch's exporter: tracing its Python code takes as long again, and counts no line of ours.

    The libraries stay loaded to the end: the garbage collector leaves them out from here on.
    """
    gc.freeze()
    if (onnx := sys.modules.get("torch.onnx")) is not None:
        onnx.export = _without_coverage(onnx.export)


def _without_coverage(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, during which the coverage of the calling thread is paused; other tracers (debuggers) stay on."""

    @functools.wraps(function)
    def paused(*arguments: Any, **options: Any) -> Any:
        tracer = sys.gettrace()
        if not type(tracer).__module__.startswith("coverage"):
            return function(*arguments, **options)
        tracer.stop()
        try:
            return function(*arguments, **options)
        finally:
            tracer.start()

    return paused
