"""Each attack against a connection of the server."""

import io
from collections.abc import Iterator

import pytest
from PIL import Image

from benchmarks.serving_attacks import ATTACKS, scan_bomb
from tests.exporters.serving.listener import Running, running

EXPECTED = {
    "silence": "ended",
    "half a head": "408",
    "a header line a second": "408",
    "70,000 bytes of headers at once": "431",
    "10,000 headers at once": "431",
    "headers of 3 MB": "431",
    "50 MB of trailers": "400",
    "50 MB of one trailer": "400",
    "50 MB of one chunk extension": "400",
    "chunks of one byte": "400",
    "requests without end, no answer read": "200",
    "large answers, not read": "ended",
    "an upload that breaks off": "ended",
    "no HTTP": "400",
}
"""What the attacker sees. The time of a body is no matter of the connection: `exporters.serving.limits`."""


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as started:
        yield started


def test_every_attack_is_expected() -> None:
    assert set(ATTACKS) == {*EXPECTED, "a byte of the body a second"}


@pytest.mark.parametrize("name", EXPECTED)
def test_attack_is_ended_in_order(server: Running, name: str) -> None:
    with server.connect() as connection:
        assert ATTACKS[name](connection, 60) == EXPECTED[name]
    with server.connect() as other:
        other.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.1 200 ")


def test_scan_bomb_is_a_small_file_with_many_scans() -> None:
    plain, bomb = scan_bomb(64, 0), scan_bomb(64, 1000)
    assert bomb.count(b"\xff\xda") == plain.count(b"\xff\xda") + 1000 and len(bomb) < 50_000
    with Image.open(io.BytesIO(bomb)) as image:
        assert image.info["progressive"] == 1 and image.size == (64, 64)
