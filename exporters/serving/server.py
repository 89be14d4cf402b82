"""The server process: verified bundle, sockets, signals and graceful shutdown."""

import asyncio
import logging
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from exporters.serving.app import create_app
from exporters.serving.connection import Connection, Timeouts
from exporters.serving.connections import RESERVE, Connections
from exporters.serving.descriptors import room_for
from exporters.serving.listening import BACKLOG, close_listener, is_loopback, listen
from exporters.serving.logs import json_logs
from exporters.serving.middleware import ADMIN_PATHS
from exporters.serving.model import LoadedBundle, load_bundle
from exporters.serving.service import Service
from exporters.serving.settings import ServeSettings

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop

logger = logging.getLogger(__name__)

KEEP_ALIVE = 75.0
"""Seconds; longer than the 60 of common load balancers, which then close first."""
_ADMIN_CONNECTIONS = 64
_LAST_SECONDS = 2.0  # for threads, when all requests are answered or given up


def serve(settings: ServeSettings) -> None:
    """Serve a bundle until SIGTERM or SIGINT, then finish requests in progress and return. SIGHUP reloads the bundle.

    The process is ended here (exit 0) where a thread never returns from a library.

    Raises:
        UsageError: no such bundle, or no model of that precision in it; more connections than the system allows.
        GateError: a bundle that is damaged, or does not reproduce its golden vectors.
        UnavailableError: the provider or the address is not available.
    """
    bundle = load_bundle(settings.bundle, settings.precision, settings.provider)
    with json_logs(settings.log_level), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")  # about clients' images, which are checked anyway
        run_server(settings, bundle)


def run_server(settings: ServeSettings, bundle: LoadedBundle) -> None:
    """Serve a bundle that is loaded, as `serve` does."""
    service = Service(settings, bundle)
    with ExitStack() as stack:
        stack.enter_context(room_for(settings.max_connections + 2 * RESERVE + _ADMIN_CONNECTIONS))
        listener = stack.enter_context(listen(settings.host, settings.port))
        address = listener.getsockname()
        extra: dict[str, Any] = {
            "event": "listening",
            "host": address[0],
            "port": address[1],
            "model": bundle.name,
            "version": bundle.version,
            "precision": bundle.precision,
            "api_key": settings.api_key is not None,
        }
        connections = Connections(
            settings.max_connections,
            settings.max_connections_per_client,
            observe=service.metrics.connections,
            observe_refusal=service.metrics.refusal,
        )
        ports: list[tuple[socket.socket, Connections, frozenset[str] | None]] = [(listener, connections, None)]
        if settings.admin_port is not None:
            listener = stack.enter_context(listen(settings.host, settings.admin_port, "--admin-port"))
            extra["admin_port"] = listener.getsockname()[1]
            ports.append((listener, Connections(_ADMIN_CONNECTIONS, _ADMIN_CONNECTIONS), ADMIN_PATHS))
        if settings.api_key is None and not is_loopback(address[0]):
            logger.warning(
                "%s can be reached by other machines, and no API key is required",
                settings.host,
                extra={"event": "open"},
            )
        server = Server(service)
        timeouts = Timeouts(settings.timeout, KEEP_ALIVE)
        for listener, connections, paths in ports:
            app = create_app(service, only=paths)
            server.add_port(listener, partial(Connection, app, timeouts, connections, server.opened))
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(server.run(lambda: logger.info("listening on %s port %d", *address[:2], extra=extra)))
    ended = service.threads_ended(_LAST_SECONDS)
    logger.info("stopped", extra={"event": "stopped"})
    if not ended:  # a call that never returns; the interpreter would wait for it
        logger.warning("a thread that still computes is left", extra={"event": "abandoned"})
        logging.shutdown()
        os._exit(0)


class Server:
    """Accepts connections, reloads the bundle on SIGHUP, and ends on SIGTERM or SIGINT.

    On the first of these it is no longer ready, and every answer closes its connection. It stops listening after
    `settings.drain` seconds, or at once on the second signal, and returns when all requests are answered, at the latest
    after twice the timeout of requests. A third signal ends it without answers.

    Args:
        service: what is served.
    """

    def __init__(self, service: Service) -> None:
        self.opened: set[Connection] = set()
        """The connections that are open; those that `add_port` makes enter and leave it themselves."""
        self._service = service
        self._ports: list[tuple[socket.socket, Callable[[], Connection]]] = []
        self._signals = 0
        self._signalled = asyncio.Event()
        self._reloads: set[asyncio.Task[None]] = set()

    def add_port(self, listener: socket.socket, connect: Callable[[], Connection]) -> None:
        """Accept connections from this socket once the server runs; `connect` makes the protocol of each."""
        self._ports.append((listener, connect))

    async def run(self, listening: Callable[[], None]) -> None:
        """Serve until the signal, and answer whoever is connected by then.

        Args:
            listening: called once connections are accepted.
        """
        loop = asyncio.get_running_loop()
        async with self._service.running():
            with self._handling_signals(loop):
                await self._start_decoders()
                if self._signals:  # nobody was answered yet
                    return
                servers = [
                    await loop.create_server(connect, sock=listener, backlog=BACKLOG)
                    for listener, connect in self._ports
                ]
                listening()
                await self._signal(1, None)
                await self._signal(2, self._service.settings.drain)
                waiting = []
                for server, (listener, connect) in zip(servers, self._ports, strict=True):
                    waiting += [(connect, connection) for connection in close_listener(listener)]
                    server.close()
                    listener.close()
                for connect, connection in waiting:
                    await loop.connect_accepted_socket(connect, connection)
                await self._finish()

    async def _start_decoders(self) -> None:
        """Start the decoders, unless the server is asked to end meanwhile."""
        starting = asyncio.ensure_future(self._service.start_decoders())
        signalled = asyncio.ensure_future(self._signal(1, None))
        try:
            await asyncio.wait({starting, signalled}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
        finally:
            for task in (starting, signalled):
                task.cancel()
            await asyncio.gather(starting, signalled, return_exceptions=True)

    async def _finish(self) -> None:
        """Answer the clients that are connected."""
        for connection in list(self.opened):
            connection.shut_down()
        # Clients that still send are limited by their own timeouts; this is just longer.
        end = asyncio.get_running_loop().time() + 2 * self._service.settings.timeout + 1
        while self.opened and self._signals < 3 and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.02)
        for connection in list(self.opened):
            connection.abort()

    async def _signal(self, number: int, seconds: float | None) -> None:
        """Wait for so many signals, or for so long."""
        try:
            async with asyncio.timeout(seconds):
                while self._signals < number:
                    self._signalled.clear()
                    await self._signalled.wait()
        except TimeoutError:
            return

    @contextmanager
    def _handling_signals(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Handle signals within the block, by Python's own means, which Windows has too."""
        handlers: dict[int, Callable[[int], None]] = {signal.SIGTERM: self._on_end, signal.SIGINT: self._on_end}
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = self._on_reload
        before = {
            number: signal.signal(number, lambda which, _frame: loop.call_soon_threadsafe(handlers[which], which))
            for number in handlers
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _on_end(self, number: int) -> None:
        self._signals += 1
        self._signalled.set()
        if self._signals == 1:
            self._service.draining = True
            logger.info("draining", extra={"event": "draining", "signal": signal.Signals(number).name})

    def _on_reload(self, _number: int) -> None:
        task = asyncio.get_running_loop().create_task(self._reload_quietly())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload_quietly(self) -> None:
        try:
            await self._service.holder.reload()
        except Exception:  # logged by the holder; the old bundle stays
            logger.debug("reload", exc_info=True)
