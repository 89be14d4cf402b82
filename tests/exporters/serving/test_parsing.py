"""What a client may send, in every phase of a message."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.serving import parsing
from exporters.serving.parsing import MAX_HEADER_BYTES, MAX_HEADER_FIELDS, MAX_PIECE, Head, RequestParser

from .listener import chunked, get


class Recorder:
    """Requests as method, path, headers and body; what was refused, and the events in order."""

    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.bodies: list[bytes] = []
        self.ended = 0
        self.refused: list[tuple[int, str]] = []

    def request_begun(self) -> None:
        assert len(self.heads) == self.ended

    def request_head(self, head: Head) -> None:
        self.heads.append(head)
        self.bodies.append(b"")

    def request_body(self, data: bytes) -> None:
        self.bodies[-1] += data

    def request_end(self) -> None:
        self.ended += 1
        assert len(self.heads) == self.ended

    def refuse(self, status: int, message: str) -> None:
        assert not self.refused
        self.refused.append((status, message))


def parse(*sent: bytes, piece: int = MAX_PIECE) -> Recorder:
    recorder = Recorder()
    parser = RequestParser(recorder)
    for data in sent:
        for start in range(0, len(data), piece):
            parser.feed(data[start : start + piece])
    return recorder


HEADERS = "the headers have more than 65,536 bytes"
FRAMING = "more than 65,536 bytes of chunk sizes, chunk extensions and trailers"
WIDE = b"x: " + b"y" * 600 + b"\r\n"


@pytest.mark.parametrize("piece", [1000, MAX_PIECE])
@pytest.mark.parametrize(
    ("sent", "status", "message"),
    [
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 431, HEADERS),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", 431, HEADERS),
        (b"GET / HTTP/1.1\r\n" + WIDE * 116 + b"\r\n", 431, HEADERS),
        (b"GET / HTTP/1.1\r\n" + b"x" * 70_000, 431, HEADERS),
        (b"\r\n" * 70_000, 431, HEADERS),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEADER_FIELDS + 1) + b"\r\n", 431, "at most 128 headers"),
        (chunked("/") + b"0\r\n" + WIDE * 200, 400, FRAMING),
        (chunked("/") + b"0\r\n" + b"a: b\r\n" * 20_000, 400, FRAMING),
        (chunked("/") + b"0\r\n" + b"x" * 90_000, 400, FRAMING),
        (chunked("/") + b"1;" + b"x" * 90_000, 400, FRAMING),
        (chunked("/") + b"1;x=y\r\na\r\n" * 20_000, 400, FRAMING),
        (chunked("/") + b"1\r\na\r\n" * 20_000, 400, FRAMING),
        (chunked("/") + b"0" * 90_000, 400, FRAMING),
    ],
)
def test_no_phase_of_a_message_is_without_bound(piece: int, sent: bytes, status: int, message: str) -> None:
    ((found, why),) = parse(sent, piece=piece).refused
    assert found == status and why.endswith(message)


def test_headers_up_to_the_bound_are_accepted() -> None:
    size = MAX_HEADER_BYTES - len("/") - len("Host") - len("x") - 4 - len("x") - 4
    assert not parse(get("/", "x: " + "y" * size)).refused
    assert parse(get("/", "x: " + "y" * (size + 1))).refused == [(431, HEADERS)]
    assert len(parse(get("/", *["a: b"] * (MAX_HEADER_FIELDS - 1))).heads) == 1


def test_endless_trailers_take_no_memory() -> None:
    """Attacked before: 50 MB of them held 1.1 GB."""
    parser = RequestParser(Recorder())
    parser.feed(chunked("/") + b"0\r\n")
    trailers = b"a: b\r\n" * 2_500
    tracemalloc.start()
    try:
        for _ in range(3_000):
            parser.feed(trailers)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_chunks_of_ordinary_size_are_accepted_without_end() -> None:
    """A body has no bound here: that is the application's, which knows what it is for."""
    chunk = b"400\r\n" + bytes(1024) + b"\r\n"
    found = parse(chunked("/") + chunk * 5_000 + b"0\r\n\r\n")
    assert not found.refused and len(found.bodies[0]) == 5_000 * 1024


def test_the_count_starts_again_with_each_message() -> None:
    one = get("/", "x: " + "y" * 30_000) + chunked("/", "x: " + "y" * 30_000) + b"1;y=z\r\na\r\n0\r\nt: u\r\n\r\n"
    found = parse(one * 20)
    assert (found.ended, found.refused) == (40, [])


def test_trailers_are_no_headers_of_this_or_the_next_request() -> None:
    found = parse(chunked("/a") + b"0\r\nX-API-Key: mine\r\nx: y\r\n\r\n" + get("/b"))
    assert [head.path for head in found.heads] == ["/a", "/b"]
    assert not any(name == b"x-api-key" for head in found.heads for name, _ in head.headers)


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ([], b""),
        (["Content-Length: 0"], b""),
        (["Content-Length: 3"], b"abc"),
        (["Transfer-Encoding: chunked"], b"3\r\nabc\r\n0\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("piece", [1, MAX_PIECE])
def test_offer_of_another_protocol_is_ignored(framing: list[str], body: bytes, piece: int) -> None:
    """As Java's client sends it with every first request; the body must not be taken for a request."""
    offer = get("/a", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA", *framing)
    found = parse(offer + body + get("/b"), piece=piece)
    assert [head.path for head in found.heads] == ["/a", "/b"]
    assert found.bodies == [b"abc" if body else b"", b""]
    assert (found.ended, found.refused) == (2, [])


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00",
        b"hello\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nname : x\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/3.7\r\n\r\n",
    ],
)
def test_anything_but_http_is_refused(sent: bytes) -> None:
    found = parse(sent)
    assert not found.heads and found.refused[0][0] in (400, 505)


@pytest.mark.parametrize(
    ("target", "path", "raw", "query"),
    [
        ("/a%2Fb%20c?d=%20&e", "/a/b c", b"/a%2Fb%20c", b"d=%20&e"),
        ("http://host:1/x?y", "/x", b"/x", b"y"),
        ("http://host", "/", b"/", b""),
        ("/%ff", "/\ufffd", b"/%ff", b""),
    ],
)
def test_target_is_taken_apart(target: str, path: str, raw: bytes, query: bytes) -> None:
    (head,) = parse(get(target)).heads
    assert (head.path, head.raw_path, head.query) == (path, raw, query)


_TOKEN = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, tuple[str, bytes]]:
    """The bytes of a request, and its path and body."""
    path, body = "/" + draw(_TOKEN), draw(st.binary(max_size=60))
    names = draw(st.lists(_TOKEN, max_size=3))
    headers = [f"x-{name}: {name}" for name in names]
    if draw(st.booleans()):
        return get(path, f"Content-Length: {len(body)}", *headers).replace(b"GET", b"PUT") + body, (path, body)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(body) - 1)), max_size=3)))
    parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if body[a:b]]
    ending = b"0\r\n" + (b"x-trailer: y\r\n" if draw(st.booleans()) else b"") + b"\r\n"
    return chunked(path, *headers) + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + ending, (
        path,
        body,
    )


@given(st.lists(requests(), min_size=1, max_size=4), st.integers(1, 200))
def test_requests_are_the_same_however_they_are_cut(sent: list[Any], piece: int) -> None:
    found = parse(b"".join(data for data, _ in sent), piece=piece)
    assert [(head.path, body) for head, body in zip(found.heads, found.bodies, strict=True)] == [r for _, r in sent]
    assert (found.ended, found.refused) == (len(sent), [])


@given(
    st.lists(st.sampled_from([b"GET / HTTP/1.1\r\n", b"a: b\r\n", b"\r\n", b"0\r\n", b"\x00", b"5\r\n"]), max_size=40)
)
def test_any_bytes_end_in_requests_or_one_refusal(sent: list[bytes]) -> None:
    found = parse(chunked("/"), *sent)
    assert len(found.refused) <= 1 and 0 <= len(found.heads) - found.ended <= 1


def test_nothing_is_told_after_the_stop() -> None:
    recorder = Recorder()
    parser = parsing.RequestParser(recorder)
    parser.feed(get("/a"))
    parser.stop()
    parser.feed(get("/b") + b"hello")
    assert (len(recorder.heads), recorder.refused) == (1, [])
