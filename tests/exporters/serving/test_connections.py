import pytest

from exporters.serving import connections as module
from exporters.serving.connections import Connections, Place, client_of


class Holder:
    """A connection, which is closed where another needs its place."""

    def __init__(self, connections: Connections, address: str) -> None:
        self.connections = connections
        self.place = connections.enter(address)
        self.closed = False

    def give_up(self) -> None:
        self.closed = True
        self.leave()

    def leave(self) -> None:
        assert self.place is not None
        self.connections.leave(self.place, self)

    def waits(self) -> "Holder":
        assert self.place is not None
        self.connections.waits(self.place, self)
        return self


def test_places_are_served_then_reserved_then_none() -> None:
    connections = Connections(most=3, per_client=2, reserve=2)
    served = [connections.enter("10.0.0.1"), connections.enter("10.0.0.1")]
    assert served == [Place("10.0.0.1")] * 2
    share = connections.enter("10.0.0.1")
    assert share == Place("10.0.0.1", 429, "too many connections from this address") and share.reserved
    other = connections.enter("10.0.0.2")
    assert other == Place("10.0.0.2") and not other.reserved
    full = connections.enter("10.0.0.3")
    assert full == Place("10.0.0.3", 503, "too many connections")
    assert connections.enter("10.0.0.3") is None


def test_places_are_given_back_and_addresses_forgotten() -> None:
    connections = Connections(most=2, per_client=1, reserve=1)
    for number in range(1000):
        address = f"10.0.{number // 256}.{number % 256}"
        first, again = Holder(connections, address).waits(), Holder(connections, address).waits()
        assert first.place == Place(address) and again.place is not None and again.place.reserved
        first.leave()
        again.leave()
    assert not connections._served and not connections._waiting and not connections._reserved


def test_the_one_that_waits_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST_WAIT", 0.0)
    connections = Connections(most=3, per_client=3, reserve=1)
    first, second, third = (Holder(connections, f"10.0.0.{number}").waits() for number in range(3))
    first.waits()  # it has asked meanwhile
    connections.works(second)
    fourth = Holder(connections, "10.0.0.9")
    assert fourth.place == Place("10.0.0.9")
    assert [first.closed, second.closed, third.closed] == [False, False, True]
    assert Holder(connections, "10.0.0.9").place == Place("10.0.0.9") and first.closed
    assert Holder(connections, "10.0.0.9").place == Place("10.0.0.9", 503, "too many connections")
    assert not second.closed and not fourth.closed


def test_a_client_beyond_its_share_makes_room_by_its_own_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST_WAIT", 0.0)
    connections = Connections(most=9, per_client=2, reserve=1)
    other = Holder(connections, "10.0.0.2").waits()
    mine = [Holder(connections, "10.0.0.1").waits() for _ in range(2)]
    assert Holder(connections, "10.0.0.1").place == Place("10.0.0.1")
    assert [holder.closed for holder in (other, *mine)] == [False, True, False]


def test_who_has_waited_briefly_keeps_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST_WAIT", 1000.0)
    connections = Connections(most=1, per_client=1, reserve=1)
    first = Holder(connections, "10.0.0.1").waits()
    assert Holder(connections, "10.0.0.2").place == Place("10.0.0.2", 503, "too many connections")
    assert not first.closed


def test_open_connections_and_refusals_are_told() -> None:
    counts: list[int] = []
    refusals: list[int] = []
    connections = Connections(1, 1, 1, counts.append, refusals.append)
    holders = [Holder(connections, "10.0.0.1") for _ in range(3)]
    connections.refused(503)
    for holder in holders[:2]:
        holder.leave()
    assert holders[2].place is None
    assert (counts, refusals) == ([1, 2, 1, 0], [0, 503])


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
    ],
)
def test_client_is_an_address_or_a_network_of_ipv6(address: str, client: str) -> None:
    assert client_of(address) == client
