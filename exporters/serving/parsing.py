"""Bytes of a client to requests, with a bound on every phase of a message.

One counter holds for all of them: bytes that are no body count as the message's framing, whether they are headers,
chunk sizes, chunk extensions, trailers or blank lines between requests. Built on the documented interface of httptools.
"""

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote

import httptools

MAX_HEADER_BYTES = 64 * 1024
MAX_HEADER_FIELDS = 128
"""Of one request: a field of 4 bytes takes 30 times as much memory."""
MAX_PIECE = 16 * 1024
"""Most bytes that are parsed at once, and so the most by which a bound is overrun before it is noticed."""
BODY_PER_FRAMING = 8
"""Bytes of a chunked body for each byte of the lines around them, beyond `MAX_HEADER_BYTES` of these."""
_OF_BODY = frozenset({b"content-length", b"transfer-encoding"})


@dataclass(frozen=True)
class Head:
    """The request line and the headers of a request.

    Args:
        method: as GET.
        version: 1.0 or 1.1.
        path: decoded.
        raw_path, query: as they came, without the question mark.
        headers: names in lower case.
        keep_alive: whether another request may follow on the same connection.
    """

    method: str
    version: str
    path: str
    raw_path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool


class Handler(Protocol):
    """Who is told what arrives."""

    def request_begun(self) -> None:
        """The first byte of a request has arrived."""

    def request_head(self, head: Head) -> None:
        """All headers have arrived."""

    def request_body(self, data: bytes) -> None:
        """A piece of the body has arrived."""

    def request_end(self) -> None:
        """The last byte of a request has arrived."""

    def refuse(self, status: int, message: str) -> None:
        """What arrives is no request, or one beyond the bounds; called once, and then nothing any more."""


class RequestParser:
    """Parses what one client sends, and tells a handler; the methods `on_…` are called by httptools.

    Args:
        handler: of the connection.
    """

    def __init__(self, handler: Handler) -> None:
        self.in_headers = False
        """Whether a request has begun whose headers are not complete."""
        self._handler = handler
        self._parser = httptools.HttpRequestParser(self)
        self._stopped = False
        self._in_body = False
        self._silent = False
        self._framing = self._body = self._header_bytes = 0
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []

    def feed(self, data: memoryview | bytes) -> None:
        """Parse at most `MAX_PIECE` bytes."""
        if self._stopped:
            return
        self._framing += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(400, "this is not a valid HTTP request")
        if self._framing > MAX_HEADER_BYTES + self._body // BODY_PER_FRAMING:
            if self._in_body:
                self._refuse(400, f"more than {MAX_HEADER_BYTES:,} bytes of chunk sizes, chunk extensions and trailers")
            else:
                self._refuse_headers()

    def stop(self) -> None:
        """Discard whatever else arrives."""
        self._stopped = True

    def on_message_begin(self) -> None:
        """Called at the first byte of a request."""
        if not self._silent:
            self.in_headers = True
            self._target, self._headers = b"", []
            self._header_bytes = self._body = 0
            if not self._stopped:
                self._handler.request_begun()

    def on_url(self, data: bytes) -> None:
        """Called with a piece of the request's target."""
        if not self._silent:
            self._header_bytes += len(data)
            self._target += data

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called with a header, or with a trailer, which is of no effect."""
        if self.in_headers:
            self._header_bytes += len(name) + len(value) + 4
            if len(self._headers) <= MAX_HEADER_FIELDS:
                self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Called when all headers have arrived."""
        if self._silent:
            return
        self.in_headers = False
        if self._stopped:
            return
        version = self._parser.get_http_version()
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse_headers()
        elif len(self._headers) > MAX_HEADER_FIELDS:
            self._refuse(431, f"a request has at most {MAX_HEADER_FIELDS} headers")
        elif version not in ("1.0", "1.1"):
            self._refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        else:
            try:
                url = httptools.parse_url(self._target)
                path, query = url.path or b"/", url.query or b""
                text = unquote(path.decode("ascii"))
            except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
                self._refuse(400, "the request's target is not a valid URL")
                return
            method = self._parser.get_method().decode("ascii")
            self._in_body = True
            keep_alive = self._parser.should_keep_alive()
            self._handler.request_head(Head(method, version, text, path, query, self._headers, keep_alive))

    def on_body(self, data: bytes) -> None:
        """Called with a piece of the body."""
        self._framing = max(0, self._framing - len(data))
        self._body += len(data)
        if not self._stopped:
            self._handler.request_body(data)

    def on_message_complete(self) -> None:
        """Called at the last byte of a request."""
        if self._silent or (self._parser.should_upgrade() and self._body_headers()):
            return  # the body is still to come: `_parse`
        self._framing = 0
        self._in_body = False
        if not self._stopped:
            self._handler.request_end()

    def _parse(self, data: memoryview | bytes) -> None:
        """Parse a piece. An offer of another protocol is not taken, which is to read on as if it had not been made.

        RFC 9110, section 7.8. httptools stops at such an offer, and skips the body of its request.
        """
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self._stopped:
                    return
                data = data[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
                if of_body := self._body_headers():
                    lines = b"".join(b"%s: %s\r\n" % header for header in of_body)
                    self._silent = True
                    try:
                        self._parser.feed_data(b"POST / HTTP/1.1\r\n" + lines + b"\r\n")
                    finally:
                        self._silent = False
                    if not any(value.strip(b" 0") for _, value in of_body):  # a body of no bytes has ended by now
                        self.on_message_complete()
            else:
                return

    def _body_headers(self) -> list[tuple[bytes, bytes]]:
        return [header for header in self._headers if header[0] in _OF_BODY]

    def _refuse_headers(self) -> None:
        self._refuse(431, f"the headers have more than {MAX_HEADER_BYTES:,} bytes")

    def _refuse(self, status: int, message: str) -> None:
        if not self._stopped:
            self._stopped = True
            self._handler.refuse(status, message)
