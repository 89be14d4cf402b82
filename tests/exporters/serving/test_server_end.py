"""The end of a server by signals, in this process."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exporters.core.errors import UnavailableError
from exporters.serving.connection import Connection, Timeouts
from exporters.serving.connections import Connections
from exporters.serving.listening import listen
from exporters.serving.server import Server
from exporters.serving.settings import ServeSettings

from .listener import PATIENCE, app, get


class Idle:
    """What a server needs of its service, without a model."""

    def __init__(self, **settings: Any) -> None:
        self.settings = ServeSettings(bundle=Path("none"), timeout=PATIENCE, **settings)
        self.draining = False

    async def start_decoders(self) -> None:
        """It has none."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield


async def until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not what():
            await asyncio.sleep(0.005)


def test_each_signal_ends_more() -> None:
    """The first: not ready. The second: no new connections. The third: none at all, whatever is unfinished."""
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    service = Idle(drain=PATIENCE)

    async def main() -> None:
        server = Server(service)  # type: ignore[arg-type]
        timeouts = Timeouts(PATIENCE, PATIENCE)
        with listen("127.0.0.1", 0) as listener:
            address = listener.getsockname()
            server.add_port(listener, partial(Connection, app, timeouts, Connections(9, 9), server.opened))
            started = asyncio.Event()
            running = asyncio.create_task(server.run(started.set))
            await started.wait()
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET / HTTP/1.1\r\n")
            await until(lambda: server.opened)
            os.kill(os.getpid(), signal.SIGTERM)
            await until(lambda: service.draining)
            other, asking = await asyncio.open_connection(*address)
            asking.write(get("/late", "Connection: close"))
            assert (await other.read()).endswith(b"/late 0")
            asking.close()
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(ConnectionError):
                while True:
                    _, asking = await asyncio.open_connection(*address)
                    asking.close()
                    await asyncio.sleep(0.005)
            assert not running.done()
            os.kill(os.getpid(), signal.SIGTERM)
            await running
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()

    asyncio.run(main())
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == handlers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_that_is_ended_while_its_decoders_start_ends_well(number: int) -> None:
    class Starting(Idle):
        began = asyncio.Event()

        async def start_decoders(self) -> None:
            self.began.set()
            await asyncio.Event().wait()

    service = Starting()

    async def main() -> None:
        service.began = asyncio.Event()
        running = asyncio.create_task(Server(service).run(lambda: pytest.fail("it listened")))  # type: ignore[arg-type]
        await service.began.wait()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(PATIENCE):
            await running

    asyncio.run(main())
    assert service.draining


def test_decoders_that_cannot_start_are_an_error() -> None:
    class Failing(Idle):
        async def start_decoders(self) -> None:
            raise UnavailableError("no process")

    with pytest.raises(UnavailableError, match="no process"):
        asyncio.run(Server(Failing()).run(lambda: None))  # type: ignore[arg-type]


def test_the_end_waits_for_requests_in_progress() -> None:
    service = Idle(drain=0.0)

    async def main() -> None:
        server = Server(service)  # type: ignore[arg-type]
        timeouts = Timeouts(PATIENCE, PATIENCE)
        with listen("127.0.0.1", 0) as listener:
            server.add_port(listener, partial(Connection, app, timeouts, Connections(9, 9), server.opened))
            started = asyncio.Event()
            running = asyncio.create_task(server.run(started.set))
            await started.wait()
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(get("/", "Content-Length: 2").replace(b"GET", b"PUT") + b"a")
            await until(lambda: any(connection._exchanges for connection in server.opened))
            os.kill(os.getpid(), signal.SIGTERM)
            await until(lambda: service.draining)
            await asyncio.sleep(0.05)
            assert not running.done()
            writer.write(b"b")
            assert (await reader.read()).endswith(b"/ 2")
            await running
            writer.close()

    asyncio.run(main())
