import logging
import os
import sys
import threading
import warnings

import pytest

from exporters.core.process_state import environment, no_warnings, quiet, silent
from exporters.serving.logs import json_logs


@pytest.mark.parametrize("level", [logging.NOTSET, logging.INFO, logging.CRITICAL])
def test_quiet_gives_back_the_level_of_the_caller(level: int) -> None:
    logging.disable(level)
    filters = warnings.filters[:]
    try:
        with pytest.raises(KeyError), quiet():
            assert logging.root.manager.disable == max(level, logging.ERROR)
            warnings.warn("not shown", stacklevel=1)
            raise KeyError
        assert logging.root.manager.disable == level and warnings.filters == filters
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize("block", [quiet, silent, no_warnings, lambda: environment("TMKD_TEST_VARIABLE", "1")])
def test_blocks_of_several_threads_overlap(block) -> None:
    """The first block ends before the second: if each restored the state that it found, the change would stay."""

    def state() -> tuple:
        shown = (sys.stdout, sys.stderr, os.environ.get("TMKD_TEST_VARIABLE"))
        return (logging.root.manager.disable, list(warnings.filters), *shown)

    before, first_is_in, second_is_in, first_is_out = state(), *(threading.Event() for _ in range(3))

    def first() -> None:
        with block():
            first_is_in.set()
            assert second_is_in.wait(30)
        first_is_out.set()

    def second() -> None:
        assert first_is_in.wait(30)
        with block():
            second_is_in.set()
            assert first_is_out.wait(30)
            assert state() != before, "changed until the last one ends"
        after.append(state())

    after: list[tuple] = []
    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert after == [before] and state() == before


def test_a_variable_that_is_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMKD_TEST_VARIABLE", "mine")
    with environment("TMKD_TEST_VARIABLE", "1"):
        assert os.environ["TMKD_TEST_VARIABLE"] == "mine"
    assert os.environ["TMKD_TEST_VARIABLE"] == "mine"


@pytest.mark.parametrize("captured", [False, True])
def test_logs_of_the_server_end_with_it(captured: bool) -> None:
    root = logging.getLogger()
    logging.captureWarnings(captured)
    names = ("exporters", "asyncio", "python_multipart")

    def state() -> tuple:
        return root.handlers[:], root.level, [logging.getLogger(name).level for name in names], warnings.showwarning

    before = state()
    try:
        with pytest.raises(KeyError), json_logs("debug"):
            assert logging.getLogger("exporters").level == logging.DEBUG and len(root.handlers) == 1
            raise KeyError
        assert state() == before
    finally:
        logging.captureWarnings(False)
