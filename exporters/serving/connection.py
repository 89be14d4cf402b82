"""A client connection: requests to the application, its answers to the client, and a bound on everything between.

Built on asyncio's protocols and ASGI, by their documented interfaces alone (docs/decisions/server.md). What a client
sends is bounded in bytes by `exporters.serving.parsing`, and here in time and in requests that wait.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp

from exporters.serving.connections import Connections, Place
from exporters.serving.exchange import Exchange
from exporters.serving.limits import RETRY_AFTER
from exporters.serving.middleware import OPEN_PATHS
from exporters.serving.parsing import MAX_PIECE, Head, RequestParser
from exporters.serving.problems import error_body

logger = logging.getLogger(__name__)

MAX_WAITING = 16
"""Requests that are sent before the one before them is answered."""
_LINGER = 2.0  # seconds in which input of a refused client is discarded: a reset would destroy the answer
_LAST_CALL = 0.5  # seconds for a request that was sent before the client could see the shutdown
_LOOK_AGAIN = 0.01  # seconds
_RESERVED = 2.0  # seconds for a request on a connection of the reserve


@dataclass(frozen=True)
class Timeouts:
    """Seconds after which a connection is ended.

    Args:
        receive: for the request line and headers to arrive, for the rest of a body that was refused before it was read,
            and for a client to read the next part of an answer.
        idle: between an answer and the next request.
    """

    receive: float
    idle: float


class Connection(asyncio.BufferedProtocol):
    """One client; a refused one gets a JSON error, and the connection is closed.

    Args:
        app: the ASGI application that answers.
        timeouts: of this connection.
        connections: gives places, and so bounds their number.
        opened: the connections of the server; this one is in it while it is open.
    """

    def __init__(self, app: ASGIApp, timeouts: Timeouts, connections: Connections, opened: set["Connection"]) -> None:
        self._app = app
        self._timeouts = timeouts
        self._connections = connections
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(MAX_PIECE))
        self._parser = RequestParser(self)
        self._exchanges: deque[Exchange] = deque()  # the first is being answered, the others wait
        self._receiving: Exchange | None = None
        self._place: Place | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._refused = False
        self._last = False  # no request is answered after those that have begun
        self._paused = False
        self._task: asyncio.Task[None] | None = None

    # The transport calls:

    def connection_made(self, transport: Any) -> None:
        """Called when a client connects."""
        self._transport: asyncio.Transport = transport
        self._client = _address(transport.get_extra_info("peername"))
        self._server = _address(transport.get_extra_info("sockname"))
        self._place = self._connections.enter("" if self._client is None else self._client[0])
        if self._place is None:
            self._transport.abort()
            return
        self._opened.add(self)
        self._connections.waits(self._place, self)
        self._wait(min(_RESERVED, self._timeouts.receive) if self._place.reserved else self._timeouts.receive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the connection is closed, by whichever side."""
        self._parser.stop()
        self._stop_timer()
        self.resume_writing()
        self._opened.discard(self)
        self._leave()
        self._forget_exchanges()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes are put."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Called when so many bytes have arrived."""
        self._parser.feed(self._buffer[:nbytes])
        self._flow()

    def pause_writing(self) -> None:
        """Called when the client does not read as fast as it is answered."""
        self._writable.clear()
        self._write_timer = self._loop.call_later(self._timeouts.receive, self._transport.abort)

    def resume_writing(self) -> None:
        """Called when the client has read."""
        self._writable.set()
        if self._write_timer is not None:
            self._write_timer.cancel()

    # The parser calls:

    def request_begun(self) -> None:
        """Called at the first byte of a request."""
        if self._place is not None and not self._place.reserved:
            self._wait_for_client(self._timeouts.receive)

    def request_head(self, head: Head) -> None:
        """Called when all headers of a request have arrived; the application runs from here on."""
        place = self._place
        assert place is not None, "nothing is parsed of a connection that is lost"
        if len(self._exchanges) > MAX_WAITING:
            self.refuse(400, f"at most {MAX_WAITING} requests may wait for an answer")
            return
        if place.reserved and head.path not in OPEN_PATHS:
            self.refuse(place.status, place.problem)
            return
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": head.version,
            "server": self._server,
            "client": self._client,
            "scheme": "http",
            "method": head.method,
            "root_path": "",
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "headers": head.headers,
        }
        keep_alive = head.keep_alive and not self._last and not place.reserved
        self._receiving = Exchange(self, scope, keep_alive)
        self._exchanges.append(self._receiving)
        self._connections.works(self)
        self._stop_timer()
        if len(self._exchanges) == 1:
            self._start(self._receiving)

    def request_body(self, data: bytes) -> None:
        """Called with a piece of the body."""
        if self._receiving is not None:
            self._receiving.feed(data)

    def request_end(self) -> None:
        """Called at the last byte of a request."""
        exchange, self._receiving = self._receiving, None
        if exchange is not None:
            exchange.end()
            if exchange.complete:
                self._wait_for_client(self._timeouts.idle)

    def refuse(self, status: int, message: str) -> None:
        """Answer with an error and close; where an earlier request is still to be answered, that is the last answer."""
        if self._refused or self._transport.is_closing():
            return
        self._refused = True
        self._connections.refused(status)
        self._parser.stop()
        broken, self._receiving = self._receiving, None
        if self._exchanges and (self._exchanges[0] is not broken or broken.started):
            if broken is not None and broken is not self._exchanges[0]:
                self._exchanges.remove(broken)
            self._exchanges[-1].keep_alive = False
            return
        self._forget_exchanges()
        if broken is None or not broken.complete:  # a second answer would be taken for that of the next request
            body = error_body(message)
            retry = f"Retry-After: {RETRY_AFTER}\r\n" if status in (429, 503) else ""
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
            )
            self._transport.write(head.encode("ascii") + body)
        self._linger()

    # The exchange calls:

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drained(self) -> None:
        """Wait until the client has read most of what was sent."""
        await self._writable.wait()

    def unread_changed(self) -> None:
        """Called when the application has read some of the body."""
        self._flow()

    def answered(self, exchange: Exchange, complete: bool) -> None:
        """Called when a request was answered, or its answer broke off; the rest of its body is discarded."""
        if not self._exchanges or self._exchanges[0] is not exchange:
            return  # the client is gone
        self._exchanges.popleft()
        if not complete:
            self._transport.abort()
        elif not exchange.keep_alive:
            self._close()
        elif self._exchanges:
            self._start(self._exchanges[0])
        elif self._parser.in_headers or not exchange.received:
            self._wait_for_client(self._timeouts.receive)
        else:
            self._wait_for_client(self._timeouts.idle)
        self._flow()

    # The server calls:

    def shut_down(self) -> None:
        """Answer what has begun, and close; idle connections stay open briefly, for requests in transit."""
        self._last = True
        for exchange in self._exchanges:
            exchange.keep_alive = False
        if not self._exchanges and not self._parser.in_headers and not self._refused:
            self._wait(_LAST_CALL)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def give_up(self) -> None:
        """Called when a new connection needs the place, while this one waits for a request."""
        self._leave()
        self._parser.stop()
        self._transport.abort()  # at once: whoever reads slowly would hold one place after the other

    def _leave(self) -> None:
        if self._place is not None:
            self._connections.leave(self._place, self)
            self._place = None

    def _start(self, exchange: Exchange) -> None:
        self._task = self._loop.create_task(self._answer(exchange))

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except Exception:  # the application answers its own errors: this is none of them
            logger.exception("internal error", extra={"event": "error"})
        finally:
            exchange.finish(False)  # of no effect after a whole answer

    def _flow(self) -> None:
        """Receive only what there is room for: not the next request before this one is answered."""
        if self._transport.is_closing():
            return
        first = self._exchanges[0] if self._exchanges else None
        later = first is not None and first.received and (self._parser.in_headers or len(self._exchanges) > 1)
        pause = not self._refused and (later or (self._receiving is not None and self._receiving.full))
        if pause and later:
            self._stop_timer()
        if pause and not self._paused:
            self._transport.pause_reading()
        elif self._paused and not pause:
            self._transport.resume_reading()
        self._paused = pause

    def _wait_for_client(self, seconds: float) -> None:
        """Wait for a request, or the rest of one; of no effect on one that is being answered meanwhile."""
        if self._place is not None and not self._exchanges:
            self._connections.waits(self._place, self)
        self._wait(seconds)

    def _wait(self, seconds: float, then: Callable[[], None] | None = None) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, self._look_again, then or self._time_out)

    def _look_again(self, then: Callable[[], None]) -> None:
        """A loop that was held up first takes what has arrived meanwhile, before it blames the client."""
        self._timer = self._loop.call_later(_LOOK_AGAIN, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        if self._place is not None and self._place.reserved:
            self.refuse(self._place.status, self._place.problem)
        elif self._parser.in_headers:
            self.refuse(408, f"the headers did not arrive within {self._timeouts.receive:g} s")
        else:  # no input at all, or the request was already answered
            self._close()

    def _forget_exchanges(self) -> None:
        for exchange in self._exchanges:
            exchange.disconnect()
        self._exchanges.clear()
        self._receiving = None

    def _linger(self) -> None:
        """Close later: bytes that arrive at a closed connection would reset it, and destroy the answer."""
        self._transport.write_eof()
        self._wait(_LINGER, self._transport.abort)

    def _close(self) -> None:
        """Close once the client has read everything, for which it has a limited time."""
        self._parser.stop()
        if self._receiving is not None:
            self._linger()
            return
        self._transport.close()
        self._wait(self._timeouts.receive, self._transport.abort)


def _address(address: Any) -> tuple[str, int] | None:
    """Host and port; None: a socket of the file system has neither."""
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else None
