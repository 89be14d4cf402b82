"""One HTTP request and its answer, as the ASGI specification (HTTP connection scope, version 2.3) has them."""

import asyncio
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Protocol

from starlette.types import Message, Scope

_MOST_UNREAD = 64 * 1024  # bytes of a body that the application has not read; beyond, the client has to wait
_WITHOUT_BODY = frozenset({204, 304})


class Client(Protocol):
    """What an exchange needs of its connection."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    async def drained(self) -> None:
        """Wait until the client has read most of what was sent."""

    def unread_changed(self) -> None:
        """Called when the application has read some of the body."""

    def answered(self, exchange: "Exchange", complete: bool) -> None:
        """Called at the end of the answer; with `complete` false, it broke off."""


class Exchange:
    """A request that is being received, computed or answered.

    Args:
        client: the connection.
        scope: of ASGI; its `method` and `http_version` decide about the form of the answer.
        keep_alive: whether the client can send another request on the same connection.
    """

    def __init__(self, client: Client, scope: Scope, keep_alive: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.received = False
        """Whether the last byte of the request has arrived."""
        self.started = False
        """Whether the answer's head was sent."""
        self.complete = False
        """Whether the answer was sent."""
        self._client = client
        self._expects_continue = scope["http_version"] == "1.1" and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"]
        )
        self._unread: list[bytes] = []
        self._unread_bytes = 0
        self._told_end = False
        self._gone = False
        self._changed = asyncio.Event()
        self._head: Message | None = None
        self._chunked = self._bodiless = False

    @property
    def full(self) -> bool:
        """Whether so much of the body waits to be read that no more of it should be received."""
        return self._unread_bytes > _MOST_UNREAD

    def feed(self, data: bytes) -> None:
        """Called with a piece of the body; what comes after the answer is discarded."""
        if not (self.complete or self._gone):
            self._unread.append(data)
            self._unread_bytes += len(data)
            self._changed.set()

    def end(self) -> None:
        """Called at the last byte of the request."""
        self.received = True
        self._changed.set()

    def disconnect(self) -> None:
        """Called when there is no client any more who could be answered."""
        self._gone = True
        self._unread.clear()
        self._unread_bytes = 0
        self._changed.set()

    async def receive(self) -> Message:
        """The next piece of the body, or `http.disconnect`."""
        if self._expects_continue and not (self.started or self.received or self._gone):
            self._client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects_continue = False
        while not (self._gone or self.complete or self._unread or (self.received and not self._told_end)):
            self._changed.clear()
            await self._changed.wait()
        if self._gone or self.complete:
            return {"type": "http.disconnect"}
        body = b"".join(self._unread)
        self._unread.clear()
        self._unread_bytes = 0
        self._told_end = self.received
        self._client.unread_changed()
        return {"type": "http.request", "body": body, "more_body": not self.received}

    async def send(self, message: Message) -> None:
        """Send the head of the answer, or a piece of its body; of no effect once the client is gone.

        Raises:
            RuntimeError: the application sends messages in another order than ASGI asks for.
        """
        if self._gone:
            return
        kind = message["type"]
        if kind == "http.response.start" and self._head is None and not self.complete:
            self._head = message
        elif kind == "http.response.body" and not self.complete and (self._head is not None or self.started):
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"{kind} cannot be sent here")

    async def _send_body(self, body: bytes, more: bool) -> None:
        parts: list[bytes] = []
        if not self.started:
            parts.append(self._start())
        if self._bodiless:
            pass
        elif not self._chunked:
            parts.append(body)
        else:
            if body:
                parts += [b"%x\r\n" % len(body), body, b"\r\n"]
            if not more:
                parts.append(b"0\r\n\r\n")
        self._client.write(b"".join(parts))
        if more:
            await self._client.drained()
        else:
            self.finish(True)

    def finish(self, complete: bool) -> None:
        """End the exchange; with `complete` false, the answer broke off."""
        if not self.complete:
            self.complete = True
            self._unread.clear()
            self._unread_bytes = 0
            self._changed.set()
            self._client.answered(self, complete)

    def _start(self) -> bytes:
        """The head of the answer."""
        assert self._head is not None
        self.started = True
        status = self._head["status"]
        lines = [_status_line(status), b"date: " + _date(int(time.time()))]
        sized = False
        for name, value in self._head.get("headers", ()):
            lowered = name.lower()
            if b"\r" in value or b"\n" in value:
                raise RuntimeError(f"a line break in the header {lowered!r}")
            if lowered == b"connection":
                self.keep_alive = self.keep_alive and value.lower() != b"close"
                continue  # said below, once
            sized = sized or lowered == b"content-length"
            lines.append(lowered + b": " + value)
        if self._expects_continue and not self.received:
            self.keep_alive = False  # nobody can tell whether the body still comes
        self._bodiless = self.scope["method"] == "HEAD" or status in _WITHOUT_BODY
        if not sized and not self._bodiless:
            if self.scope["http_version"] == "1.1":
                self._chunked = True
                lines.append(b"transfer-encoding: chunked")
            else:
                self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close")
        elif self.scope["http_version"] == "1.0":
            lines.append(b"connection: keep-alive")
        return b"\r\n".join([*lines, b"", b""])


@lru_cache(maxsize=64)
def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:  # 499 is not registered
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}".encode("ascii")


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    """RFC 9110, section 5.6.7."""
    return formatdate(second, usegmt=True).encode("ascii")
