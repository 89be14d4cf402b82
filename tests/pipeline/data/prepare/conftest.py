"""A local server that can serve files correctly or faultily, and a reporter that records."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Served:
    """One file, and how it is given.

    Attributes:
        data: the bytes.
        cuts: after so many bytes of each of the first answers the connection ends.
        ranges: whether parts can be asked for.
        ignore_condition: give a part although the version is another one.
        etag: the version; None for none.
        redirect: the address to go to instead.
        endless: the body never ends, and no length is told.
        statuses: what the first answers are, in place of 200.
        length: whether the length is told.
    """

    data: bytes = b""
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    ignore_condition: bool = False
    etag: str | None = '"1"'
    redirect: str | None = None
    endless: bool = False
    statuses: list[int] = field(default_factory=list)
    length: bool = True

    @property
    def md5(self) -> str:
        return hashlib.md5(self.data).hexdigest()


class Server:
    """Serves `files` by name; `asked` has the name and the `Range` of each request."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.asked: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path.lstrip("/"), self.headers["Range"]))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    outer._answer(self)

            def log_message(self, *_arguments: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/{name}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        served = self.files.get(request.path.lstrip("/"))
        if served is None:
            request.send_error(404)
            return
        if served.statuses:
            request.send_error(served.statuses.pop(0))
            return
        if served.redirect is not None:
            request.send_response(302)
            request.send_header("Location", served.redirect)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        start = 0
        asked = request.headers["Range"]
        condition = request.headers["If-Range"]
        if asked and served.ranges and (served.ignore_condition or condition in (None, served.etag)):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(served.data):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(served.data)}")
                request.send_header("Content-Length", "0")
                request.end_headers()
                return
        body = served.data[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(served.data) - 1}/{len(served.data)}")
        if served.etag:
            request.send_header("ETag", served.etag)
        if served.length and not served.endless:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if served.endless:
            while True:
                request.wfile.write(bytes(2**16))
        request.wfile.write(body[: served.cuts.pop(0)] if served.cuts else body)


class Steps:
    def __init__(self) -> None:
        self.done = 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps


class Reporter:
    """Remembers lines and tracked work."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tracked: list[tuple[str, int | None, Steps]] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    warn = say

    @contextlib.contextmanager
    def track(self, description: str, total: int | None, *, unit: str = "") -> Iterator[Steps]:
        steps = Steps()
        self.tracked.append((description, total, steps))
        yield steps


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    yield server
    server.close()


@pytest.fixture
def reporter() -> Reporter:
    return Reporter()
