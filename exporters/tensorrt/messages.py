"""Collects TensorRT's log messages in a form that can be stored."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from exporters.tensorrt.libraries import Library

_KEPT = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO")
_MOST_LINES, _LONGEST = 200, 300
_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[/\\](?:[\w.+ -]+[/\\])*([\w.+-]+)")
_EMPTY = re.compile(r"-*|[\w ]+:\s*")  # rulers, and headings without a value
_WHERE = re.compile(r"\s*\(?In \S+ at \S+:\d+\s*(?=\(|\)|$)")
_CUDA_CHECK = re.compile(r"\[\w+\.cpp::")  # about a missing driver, in addition to the real reason

_lock = threading.Lock()
_loggers: dict[str, Any] = {}


class Messages:
    """The messages of one build, oldest first."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, str]] = []

    def add(self, severity: str, text: str) -> None:
        """Keep a message of this severity (as TensorRT names it), unless it is empty."""
        if severity in _KEPT:
            self._lines += [(severity, line) for line in text.splitlines() if not _EMPTY.fullmatch(line.strip())]

    @property
    def log(self) -> list[str]:
        """`SEVERITY: message` without folders; the first 200 lines, then a line that says how many were left out."""
        lines = [f"{severity}: {without_folders(text)}"[:_LONGEST] for severity, text in self._lines]
        left_out = len(lines) - _MOST_LINES
        return lines if left_out <= 0 else [*lines[:_MOST_LINES], f"({left_out} more lines)"]

    @property
    def errors(self) -> str:
        """All errors as one line; what the driver's absence alone caused comes last, if nothing else is there."""
        found = [text for severity, text in self._lines if severity in _KEPT[:2]]
        return plain(found) or "it gave no reason"


def plain(lines: list[str]) -> str:
    """Error messages as one line: no folders, no places in TensorRT's own source, nothing twice."""
    telling = [line for line in lines if not _CUDA_CHECK.match(line)] or lines
    return "; ".join(dict.fromkeys(without_folders(_WHERE.sub("", line)).strip() for line in telling))[:1000]


def without_folders(text: str) -> str:
    """Text in which every absolute path is only its last part."""
    return _PATH.sub(r"\1", text)


@contextmanager
def collected(library: Library) -> Iterator[tuple[Any, Messages]]:
    """TensorRT's logger, and the messages that it receives inside the block.

    TensorRT keeps the first logger of a process and ignores later ones: there is one for each library, and one build at
    a time.
    """
    with _lock:
        if library.name not in _loggers:
            _loggers[library.name] = _make_logger(library.module)
        logger = _loggers[library.name]
        logger.messages = Messages()
        try:
            yield logger, logger.messages
        finally:
            logger.messages = None


def _make_logger(trt: Any) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        """Passes every message to the current collection."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: Messages | None = None

        def log(self, severity: Any, message: str) -> None:
            """Called by TensorRT, from any thread."""
            messages = self.messages
            if messages is not None:
                messages.add(severity.name, message)

    return Logger()
