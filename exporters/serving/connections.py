"""Who may connect: the most connections, a share of them for each client address, and a reserve for probes."""

import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

RESERVE = 64
"""Connections beyond the limits, on which probes alone are answered, and only if they ask at once."""


@dataclass(frozen=True)
class Place:
    """What a new connection gets.

    Args:
        client: the address that its share is counted by.
        status, problem: what requests other than probes are answered; a status of 0: all requests are answered.
    """

    client: str
    status: int = 0
    problem: str = ""

    @property
    def reserved(self) -> bool:
        """Whether the connection is one of the reserve."""
        return self.status != 0


class Connections:
    """Counts the open connections of one port.

    Args:
        most: connections that are served.
        per_client: as many of them for one address.
        reserve: connections beyond, for probes.
        observe: called with the number of open connections after each change.
        observe_refusal: called with the status that ends a connection, of one that was closed without an answer with 0.
    """

    def __init__(
        self,
        most: int,
        per_client: int,
        reserve: int = RESERVE,
        observe: Callable[[int], None] = lambda _open: None,
        observe_refusal: Callable[[int], None] = lambda _status: None,
    ) -> None:
        self._most = most
        self._per_client = per_client
        self._reserve = reserve
        self._observe = observe
        self._observe_refusal = observe_refusal
        self._served: Counter[str] = Counter()
        self._open = 0
        self._reserved = 0

    def enter(self, address: str) -> Place | None:
        """Take a place for a connection from this IP address; None: even the reserve is full."""
        client = client_of(address)
        if self._open - self._reserved >= self._most:
            place = Place(client, 503, "too many connections")
        elif self._served[client] >= self._per_client:
            place = Place(client, 429, "too many connections from this address")
        else:
            self._served[client] += 1
            self._change(1)
            return Place(client)
        if self._reserved >= self._reserve:
            self.refused(0)
            return None
        self._reserved += 1
        self._change(1)
        return place

    def leave(self, place: Place) -> None:
        """Give the place back."""
        if place.reserved:
            self._reserved -= 1
        else:
            self._served[place.client] -= 1
            if not self._served[place.client]:
                del self._served[place.client]  # addresses that were seen once must not fill the memory
        self._change(-1)

    def refused(self, status: int) -> None:
        """Count a connection that is ended by this status; 0: without an answer."""
        self._observe_refusal(status)

    def _change(self, by: int) -> None:
        self._open += by
        self._observe(self._open)


def client_of(address: str) -> str:
    """The address that a share is counted by: of IPv6 the network of 64 bits, which one client has to itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a socket of the file system has none
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
