"""Who may connect: the most connections, a share of them for each client address, and a reserve for probes."""

import ipaddress
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

RESERVE = 64
"""Connections beyond the limits, on which probes alone are answered, and only if they ask at once."""
_LEAST_WAIT = 1.0  # seconds for which a connection that asks nothing keeps its place in any case


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


class Holder(Protocol):
    """A connection that holds a place."""

    def give_up(self) -> None:
        """Leave the place at once, and close: another one needs it, and nothing is asked here."""


class Connections:
    """Counts the open connections of one port.

    A connection that waits for a request makes room for a new one, the longest first, as soon as there is no other
    room: whoever asks nothing locks nobody out.

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
        self._waiting: dict[Holder, tuple[str, float]] = {}  # client and since when; the longest first
        self._open = 0
        self._reserved = 0

    def enter(self, address: str) -> Place | None:
        """Take a place for a connection from this IP address; None: even the reserve is full."""
        client = client_of(address)
        place = Place(client)
        if self._open - self._reserved >= self._most and not self._make_room(None):
            place = Place(client, 503, "too many connections")
        elif self._served[client] >= self._per_client and not self._make_room(client):
            place = Place(client, 429, "too many connections from this address")
        if place.reserved:
            if self._reserved >= self._reserve:
                self.refused(0)
                return None
            self._reserved += 1
        else:
            self._served[client] += 1
        self._change(1)
        return place

    def leave(self, place: Place, holder: Holder) -> None:
        """Give the place back."""
        self._waiting.pop(holder, None)
        if place.reserved:
            self._reserved -= 1
        else:
            self._served[place.client] -= 1
            if not self._served[place.client]:
                del self._served[place.client]  # addresses that were seen once must not fill the memory
        self._change(-1)

    def waits(self, place: Place, holder: Holder) -> None:
        """Called when a connection waits for a request, or for the rest of one that is of no use any more."""
        self._waiting.pop(holder, None)
        if not place.reserved:
            self._waiting[holder] = place.client, time.monotonic()

    def works(self, holder: Holder) -> None:
        """Called when a connection has a request that is to be answered."""
        self._waiting.pop(holder, None)

    def refused(self, status: int) -> None:
        """Count a connection that is ended by this status; 0: without an answer."""
        self._observe_refusal(status)

    def _make_room(self, client: str | None) -> bool:
        """End the connection that waits longest, of this client or of all; false if none has waited long enough."""
        latest = time.monotonic() - _LEAST_WAIT
        for holder, (other, since) in self._waiting.items():
            if since > latest:
                return False
            if client in (None, other):
                holder.give_up()
                self.refused(0)
                return True
        return False

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
