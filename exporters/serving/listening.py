"""The sockets that a server listens on."""

import ipaddress
import os
import socket
from contextlib import suppress

from exporters.core.errors import UnavailableError

BACKLOG = 1024


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """A socket that accepts connections.

    Args:
        host: an IPv4 or IPv6 address, or a name; of several addresses of a name, the first that can be bound is used,
            IPv4 before IPv6.
        port: 0 takes a free one.
        option: which of the command sets the port, for messages.

    Raises:
        UnavailableError: the name has no address, the address is not of this machine, or the port is taken.
    """
    problem: Exception | None = None
    try:
        found = socket.getaddrinfo(_unmapped(host), port, type=socket.SOCK_STREAM)
        for family, _, _, _, address in sorted(found, key=lambda entry: entry[0] != socket.AF_INET):
            try:
                return socket.create_server(address, family=family, backlog=BACKLOG)
            except OSError as error:
                problem = problem or error
    except (OSError, UnicodeError) as error:  # UnicodeError: no name can be spelt like that
        problem = error
    reason = getattr(problem, "strerror", None) or problem or "the name has no address"
    if isinstance(problem, OSError) and not isinstance(problem, socket.gaierror) and problem.errno:
        reason = os.strerror(problem.errno)  # Python's own text repeats the address
    raise UnavailableError(
        f"cannot listen on {host!r} port {port}: {reason}", remedy=f"Choose another --host or {option}."
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


def close_listener(listener: socket.socket) -> list[socket.socket]:
    """Refuse further connections from now on, and accept the pending ones, which the system would reset."""
    listener.setblocking(False)
    accepted = []
    with suppress(OSError):  # no more pending connections
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            accepted.append(connection)
    with suppress(OSError):  # not everywhere, and not needed: the event loop closes it a moment later
        listener.shutdown(socket.SHUT_RDWR)
    return accepted
