"""A small application behind `Connection`, in a thread: what a client can do to a server, without a model."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from exporters.serving.connection import Connection, Timeouts
from exporters.serving.connections import Connections

PATIENCE = 60.0
SHORT = 0.3
"""Seconds until the server ends a slow client."""


async def app(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """Answers with the path and the size of the body: `/refuse` before the body was read, `/slow` late.

    `/v2/health/live` is a probe; `/large` answers with 4 MB, and `/raises` not at all.
    """
    path, size, more = scope["path"], 0, True
    if path == "/slow":
        await asyncio.sleep(2 * SHORT)
    while path != "/refuse" and more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    if path == "/raises":
        raise KeyError(path)
    body = bytes(4_000_000) if path == "/large" else f"{path} {size}".encode()
    headers = [] if path == "/chunked" else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body[:1], "more_body": True})
    await send({"type": "http.response.body", "body": body[1:]})


class Running:
    """The server."""

    def __init__(self, address: tuple[str, int], opened: set[Connection], loop: asyncio.AbstractEventLoop) -> None:
        self.address = address
        self.opened = opened
        self.loop = loop

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE)

    def talk(self, data: bytes) -> bytes:
        """Send this, and read until the server ends the connection."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):  # refused meanwhile: the answer is there
                connection.sendall(data)
            return everything(connection)

    def shut_down(self) -> None:
        """As the server does at its end."""
        self.loop.call_soon_threadsafe(lambda: [connection.shut_down() for connection in list(self.opened)])


@contextmanager
def running(receive: float = SHORT, most: int = 100, per_client: int = 100, reserve: int = 4) -> Iterator[Running]:
    """A server on a free port of this machine, in a thread."""
    opened: set[Connection] = set()
    connections = Connections(most, per_client, reserve)
    stop = threading.Event()
    started: list[asyncio.AbstractEventLoop] = []

    async def main(listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        make = partial(Connection, app, Timeouts(receive, 3600), connections, opened)
        async with await loop.create_server(make, sock=listener):
            started.append(loop)
            while not stop.is_set():
                await asyncio.sleep(0.01)
            for connection in list(opened):
                connection.abort()
            while opened:
                await asyncio.sleep(0.01)

    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        address = listener.getsockname()
        thread = threading.Thread(target=asyncio.run, args=(main(listener),))
        thread.start()
        try:
            while not started:
                stop.wait(0.005)
            yield Running(address, opened, started[0])
        finally:
            stop.set()
            thread.join(PATIENCE)
        assert not thread.is_alive()


def everything(connection: socket.socket) -> bytes:
    """All that comes until the connection ends."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def get(path: str, *headers: str) -> bytes:
    """A request without a body."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def chunked(path: str, *headers: str) -> bytes:
    """The head of a request whose body comes in chunks."""
    return get(path, "Transfer-Encoding: chunked", *headers).replace(b"GET", b"POST")
