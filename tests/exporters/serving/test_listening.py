import socket

import pytest

from exporters.core.errors import UnavailableError
from exporters.serving.listening import close_listener, is_loopback, listen


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.1", "127.255.0.1", "::ffff:127.0.0.1", "::1"])
def test_loopback_is_recognised_however_it_is_spelt(host: str) -> None:
    if ":" in host and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    with listen(host, 0) as listener:
        assert is_loopback(listener.getsockname()[0])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::ffff:0.0.0.0"])
def test_wildcard_addresses_are_not_loopback(host: str) -> None:
    if ":" in host and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    with listen(host, 0) as listener:
        assert not is_loopback(listener.getsockname()[0])


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("::ffff:127.9.9.9", True),
        ("::1234", False),
        ("::127.0.0.1", False),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_loopback_addresses_are_recognised(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize(
    "host", ["", "localhost.example.invalid", "127.example.invalid", "::1234", "::12345", "a..b", "x" * 300]
)
def test_unusable_host_is_refused(host: str) -> None:
    with pytest.raises(UnavailableError, match="cannot listen on") as caught:
        listen(host, 0)
    assert "--host" in str(caught.value)


def test_taken_port_is_refused_and_its_option_named() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UnavailableError, match=rf"port {port}: Address already in use\n") as caught:
            listen("127.0.0.1", port, "--admin-port")
    assert "--admin-port" in str(caught.value)


def test_pending_connections_are_accepted_and_later_ones_refused() -> None:
    with listen("127.0.0.1", 0) as listener:
        clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        accepted = close_listener(listener)
        assert [c.getpeername() for c in accepted] == [c.getsockname() for c in clients]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(listener.getsockname())
        for connection in [*clients, *accepted]:
            connection.close()
