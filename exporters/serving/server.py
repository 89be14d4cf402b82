"""The server process: verified bundle, socket, signals and graceful shutdown."""

import asyncio
import ipaddress
import logging
import signal
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import uvicorn

from exporters.core.errors import UnavailableError
from exporters.serving.app import create_app
from exporters.serving.connection import BoundedConnection
from exporters.serving.logs import json_logs
from exporters.serving.model import LoadedBundle, load_bundle
from exporters.serving.service import Service
from exporters.serving.settings import ServeSettings

logger = logging.getLogger(__name__)

_BACKLOG = 1024
_KEEP_ALIVE = 75  # seconds; longer than the 60 of common load balancers, which then close first


def serve(settings: ServeSettings) -> None:
    """Serve a bundle until SIGTERM or SIGINT, then finish requests in progress and return. SIGHUP reloads the bundle.

    Raises:
        UsageError: no such bundle, or no model of that precision in it.
        GateError: a bundle that is damaged, or does not reproduce its golden vectors.
        UnavailableError: the provider or the address is not available.
    """
    bundle = load_bundle(settings.bundle, settings.precision, settings.provider)
    with json_logs(settings.log_level), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")  # about clients' images, which are checked anyway
        _run(settings, bundle)


def _run(settings: ServeSettings, bundle: LoadedBundle) -> None:
    service = Service(settings, bundle)
    config = uvicorn.Config(
        create_app(service),
        http=partial(  # type: ignore[arg-type]
            BoundedConnection, receive_timeout=settings.timeout, max_connections=settings.max_connections
        ),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        # Clients that still send are limited by their own timeouts; this is just longer.
        timeout_graceful_shutdown=int(2 * settings.timeout) + 1,
        lifespan="on",
    )
    with listen(settings.host, settings.port) as listener:
        address = listener.getsockname()
        extra = {
            "event": "listening",
            "host": address[0],
            "port": address[1],
            "model": bundle.name,
            "version": bundle.version,
            "precision": bundle.precision,
            "api_key": settings.api_key is not None,
        }
        if settings.api_key is None and not is_loopback(address[0]):
            logger.warning(
                "%s can be reached by other machines, and no API key is required",
                settings.host,
                extra={"event": "open"},
            )
        _Server(config, service, extra).run(sockets=[listener])
    logger.info("stopped", extra={"event": "stopped"})


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections.

    Args:
        host: an IPv4 or IPv6 address, or a name; of several addresses of a name, the first that can be bound is used,
            IPv4 before IPv6.
        port: 0 takes a free one.

    Raises:
        UnavailableError: the name has no address, the address is not of this machine, or the port is taken.
    """
    problem: Exception | None = None
    try:
        found = socket.getaddrinfo(_unmapped(host), port, type=socket.SOCK_STREAM)
        for family, _, _, _, address in sorted(found, key=lambda entry: entry[0] != socket.AF_INET):
            try:
                return socket.create_server(address, family=family, backlog=_BACKLOG)
            except OSError as error:
                problem = problem or error
    except (OSError, UnicodeError) as error:  # UnicodeError: no name can be spelt like that
        problem = error
    reason = getattr(problem, "strerror", None) or problem or "the name has no address"
    raise UnavailableError(
        f"cannot listen on {host!r} port {port}: {reason}", remedy="Choose another --host or --port."
    ) from problem


def is_loopback(address: str) -> bool:
    """Whether a socket bound to this IP address (not a name) can be reached from this machine alone."""
    return ipaddress.ip_address(_unmapped(address)).is_loopback


def _unmapped(host: str) -> str:
    """The IPv4 address inside an IPv6 one (`::ffff:127.0.0.1`); anything else unchanged."""
    try:
        mapped = getattr(ipaddress.ip_address(host), "ipv4_mapped", None)
    except ValueError:
        return host
    return host if mapped is None else str(mapped)


def _accept_all(listener: socket.socket) -> Iterator[socket.socket]:
    """Accept the pending connections, which the system would reset when the listener is closed."""
    listener.setblocking(False)
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # no more pending connections
            return
        connection.setblocking(False)
        yield connection


class _Server(uvicorn.Server):
    """uvicorn's server that also logs when it listens, reloads on SIGHUP, and drains before it stops listening.

    On the first SIGTERM or SIGINT it is no longer ready, and every answer closes its connection. It stops listening
    after `settings.drain` seconds, or at once on the second signal, and returns when all requests are answered.
    """

    def __init__(self, config: uvicorn.Config, service: Service, listening: dict[str, Any]) -> None:
        super().__init__(config)
        self._service = service
        self._listening = listening
        self._stop_at = float("inf")
        self._reloads: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        logger.info("listening on %s port %d", self._listening["host"], self._listening["port"], extra=self._listening)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called on SIGTERM and SIGINT."""
        if self._service.draining:
            self._stop_at = 0.0
            self.force_exit = self.should_exit and sig == signal.SIGINT
            return
        self._service.draining = True
        self._stop_at = time.monotonic() + self._service.settings.drain
        logger.info("draining", extra={"event": "draining", "signal": signal.Signals(sig).name})

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; stops listening when the drain time is over."""
        self.should_exit = self.should_exit or time.monotonic() >= self._stop_at
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and answer the clients that are connected, including those not yet accepted."""
        loop = asyncio.get_running_loop()
        waiting = [connection for listener in sockets or [] for connection in _accept_all(listener)]
        for server in self.servers:
            server.close()
        protocol: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        make = partial(
            protocol,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            _loop=loop,
        )
        for connection in waiting:
            await loop.connect_accepted_socket(make, connection)
        await super().shutdown(sockets)

    def _reload(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reload_quietly())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload_quietly(self) -> None:
        try:
            await self._service.holder.reload()
        except Exception:  # logged by the holder; the old bundle stays
            logger.debug("reload", exc_info=True)
