import json
import logging
import sys

from exporters.serving.logs import JsonFormatter


def formatted(message: str, *arguments: object, **extra: object) -> dict[str, object]:
    record = logging.LogRecord("name", logging.INFO, "file", 1, message, arguments, None)
    vars(record).update(extra)
    line = JsonFormatter().format(record)
    assert "\n" not in line and line.isascii()
    return dict(json.loads(line))


def test_log_line_is_one_json_object() -> None:
    line = formatted("%s of %d\n\u2028", "a", 7, event="request", path="/\r\n\x1b[31m\ud800")
    assert line["message"] == "a of 7\n\u2028"
    assert line["event"] == "request"
    assert line["path"] == "/\r\n\x1b[31m\ud800"
    assert line["level"] == "info"
    assert str(line["time"]).endswith("Z")


def test_values_unknown_to_json_are_logged_as_text() -> None:
    assert formatted("x", value={1}, other=object)["value"] == "{1}"


def test_traceback_is_logged() -> None:
    try:
        raise KeyError("seven")
    except KeyError:
        record = logging.LogRecord("name", logging.ERROR, "file", 1, "x", (), sys.exc_info())
    assert "KeyError: 'seven'" in json.loads(JsonFormatter().format(record))["traceback"]
