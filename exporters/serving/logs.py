"""Structured logs: one JSON object a line on standard error."""

import json
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
LEVELS = ("debug", "info", "warning", "error")


class JsonFormatter(logging.Formatter):
    """Formats a record as JSON: `time` (UTC), `level`, `logger`, `message`, the fields of `extra`, and `traceback`.

    Input of clients is inside JSON strings, escaped to ASCII, and so cannot start a line of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


@contextmanager
def json_logs(level: str) -> Iterator[None]:
    """A block in which all logs, including those of libraries and Python's warnings, are JSON on standard error.

    Args:
        level: the lowest level of our own messages that is logged.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    # A client's malformed form, or its connection that broke, is not worth a warning.
    levels: dict[str, int | str] = {
        "exporters": level.upper(),
        "asyncio": logging.ERROR,
        "python_multipart": logging.ERROR,
    }
    before = [(logger, logger.level) for logger in (root, *map(logging.getLogger, levels))]
    handlers, shown = root.handlers[:], warnings.showwarning
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name, least in levels.items():
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        if warnings.showwarning is not shown:  # else the caller had captured them already
            logging.captureWarnings(False)
        root.handlers[:] = handlers
        for logger, least_before in before:
            logger.setLevel(least_before)
