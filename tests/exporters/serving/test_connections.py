import pytest

from exporters.serving.connections import Connections, Place, client_of


def test_places_are_served_then_reserved_then_none() -> None:
    connections = Connections(most=3, per_client=2, reserve=2)
    served = [connections.enter("10.0.0.1"), connections.enter("10.0.0.1")]
    assert served == [Place("10.0.0.1")] * 2 and not served[0].reserved
    share = connections.enter("10.0.0.1")
    assert share == Place("10.0.0.1", 429, "too many connections from this address") and share.reserved
    assert connections.enter("10.0.0.2") == Place("10.0.0.2")
    full = connections.enter("10.0.0.3")
    assert full == Place("10.0.0.3", 503, "too many connections")
    assert connections.enter("10.0.0.3") is None


def test_places_are_given_back_and_addresses_forgotten() -> None:
    connections = Connections(most=2, per_client=1, reserve=1)
    for number in range(1000):
        place = connections.enter(f"10.0.{number // 256}.{number % 256}")
        again = connections.enter(f"10.0.{number // 256}.{number % 256}")
        assert place is not None and not place.reserved and again is not None and again.reserved
        connections.leave(place)
        connections.leave(again)
    assert not connections._served and not connections._reserved


def test_open_connections_and_refusals_are_told() -> None:
    counts: list[int] = []
    refusals: list[int] = []
    connections = Connections(1, 1, 1, counts.append, refusals.append)
    places = [connections.enter("10.0.0.1") for _ in range(3)]
    connections.refused(503)
    for place in places[:2]:
        assert place is not None
        connections.leave(place)
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
