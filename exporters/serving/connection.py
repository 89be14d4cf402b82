"""A client connection with limits that uvicorn leaves to a proxy: slow headers, large headers, many connections.

The time for a body to arrive is limited where it is read (`exporters.serving.limits`). `HttpToolsProtocol` is no public
interface of uvicorn: only this file builds on it, and `tests/exporters/serving/test_connection.py` fails if an upgrade
changes what is used of it (docs/decisions/server.md).
"""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exporters.serving.limits import RETRY_AFTER
from exporters.serving.problems import error_body

_MAX_HEADER_BYTES = 64 * 1024
_LINGER = 2.0  # seconds in which input of a refused client is discarded: a reset would destroy the answer

_LAST_CALL = 0.5  # seconds for a request that was sent before the client could see the shutdown


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's connection with limits; a refused client gets a JSON error, and the connection is closed.

    Args:
        receive_timeout: seconds for the request line and headers to arrive, and for the rest of a body that was
            refused before it was read.
        max_connections: new connections beyond this number are refused.
    """

    def __init__(self, *args: Any, receive_timeout: float, max_connections: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receive_timeout = receive_timeout
        self._max_connections = max_connections
        self._header_bytes = 0
        self._in_headers = True  # also before the first byte
        self._in_message = False
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Called when a client connects."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            self._refuse(503, "too many connections", f"Retry-After: {RETRY_AFTER}\r\n")
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the client disconnects."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called when the client sends bytes."""
        if self._refused or self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > _MAX_HEADER_BYTES:
                self._refuse(431, f"the headers have more than {_MAX_HEADER_BYTES:,} bytes")

    def on_message_begin(self) -> None:
        """Called at the first byte of a request."""
        super().on_message_begin()
        self._in_headers, self._header_bytes, self._in_message = True, 0, True
        self._start_timer()

    def on_headers_complete(self) -> None:
        """Called when all headers have arrived; the application runs from here on."""
        self._in_headers = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Called at the last byte of a request."""
        self._in_message = False
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Called when the request was answered; the rest of its body is discarded."""
        super().on_response_complete()
        if self._in_message and not self.transport.is_closing():
            self._start_timer()

    def shutdown(self) -> None:
        """Called when the server shuts down; idle connections stay open briefly, for requests in transit."""
        if self.cycle is not None and not self.cycle.response_complete:
            super().shutdown()
        elif not self._in_message:
            self._stop_timer()
            self._timer = self.loop.call_later(_LAST_CALL, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn when the input is not HTTP."""
        self._refuse(400, msg)

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self._receive_timeout, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self._timer = None
        if self._in_message and self._in_headers:
            self._refuse(408, f"the headers did not arrive within {self._receive_timeout:g} s")
        else:  # no input at all, or the request was already answered
            self.transport.close()

    def _refuse(self, status: int, message: str, header: str = "") -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_timer()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self._in_headers or cycle.response_started:  # an earlier request is still to be answered
                cycle.keep_alive = False
                return
            cycle.disconnected = True  # the application no longer has a client to answer
            cycle.message_event.set()
        body = error_body(message)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{header}Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER, self.transport.close)
