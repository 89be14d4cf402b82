"""One connection of uvicorn, with the bounds that it leaves to a proxy: slow and large headers, many connections.

The body's own time is bounded where it is read (`exporters.serving.limits`).
"""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exporters.serving.limits import RETRY_AFTER
from exporters.serving.problems import error_body

_MOST_HEADER_BYTES = 64 * 1024
_LINGER = 2.0  # seconds to throw away what a refused client still sends: a reset would take the answer from it

_LAST_CALL = 0.5  # seconds for a request to arrive that was sent before the client could know of the end


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's connection; whatever is refused here is answered in JSON, as everywhere, and closed.

    Args:
        receive_timeout: seconds for the line and headers of a request to arrive, and for the rest of a body that was
            refused before it was read.
        max_connections: beyond that, new ones are refused.
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
        """A client came."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            self._refuse(503, "too many connections", f"Retry-After: {RETRY_AFTER}\r\n")
        else:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """It went."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """It sent something."""
        if self._refused or self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > _MOST_HEADER_BYTES:
                self._refuse(431, f"the headers have more than {_MOST_HEADER_BYTES:,} bytes")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._in_headers, self._header_bytes, self._in_message = True, 0, True
        self._arm()

    def on_headers_complete(self) -> None:
        """All headers are there; the application runs from here on."""
        self._in_headers = False
        self._disarm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        self._in_message = False
        self._disarm()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """It was answered; what still comes of it is thrown away."""
        super().on_response_complete()
        if self._in_message and not self.transport.is_closing():
            self._arm()

    def shutdown(self) -> None:
        """The server ends: whoever has no request under way may have one on the way, and gets its answer."""
        if self.cycle is not None and not self.cycle.response_complete:
            super().shutdown()
        elif not self._in_message:
            self._disarm()
            self._timer = self.loop.call_later(_LAST_CALL, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, msg)

    def _arm(self) -> None:
        self._disarm()
        self._timer = self.loop.call_later(self._receive_timeout, self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._in_message and self._in_headers:
            self._refuse(408, f"the headers did not arrive within {self._receive_timeout:g} s")
        else:  # nothing came at all, or it is answered already
            self.transport.close()

    def _refuse(self, status: int, message: str, header: str = "") -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._disarm()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self._in_headers or cycle.response_started:  # an earlier request is still to be answered
                cycle.keep_alive = False
                return
            cycle.disconnected = True  # the application has nobody to answer any more
            cycle.message_event.set()
        body = error_body(message)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{header}Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER, self.transport.close)
