"""The bounds of a connection, and every name of uvicorn that they rely on: an upgrade that changes one fails here."""

import ast
import asyncio
import inspect
import json
import socket
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from exporters.serving import connection as module
from exporters.serving import server as process
from exporters.serving.connection import BoundedConnection
from exporters.serving.limits import RETRY_AFTER

PATIENCE = 60.0
SHORT = 0.3  # seconds until the server ends a slow client
ADAPT = f"uvicorn {uvicorn.__version__} is not the one that exporters/serving was written for"

(SERVER,) = (value for value in vars(process).values() if isinstance(value, type) and issubclass(value, uvicorn.Server))
SUBCLASSES = pytest.mark.parametrize(
    ("ours", "base"), [(BoundedConnection, HttpToolsProtocol), (SERVER, uvicorn.Server)]
)


def attributes(class_: type, variable: str = "self") -> set[str]:
    """The public attributes of a variable that the source of a class names."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(class_)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == variable
        if not node.attr.startswith("_")
    }


@SUBCLASSES
def test_every_override_exists_in_uvicorn_with_the_same_arguments(ours: type, base: type) -> None:
    overrides = [name for name, value in vars(ours).items() if inspect.isfunction(value) and not name.startswith("_")]
    assert len(overrides) >= 4
    for name in overrides:
        assert hasattr(base, name), f"{base.__name__} calls no {name}: {ADAPT}"
        found, wanted = (list(inspect.signature(getattr(class_, name)).parameters) for class_ in (base, ours))
        assert found == wanted, f"arguments of {base.__name__}.{name}: {ADAPT}"


@SUBCLASSES
def test_every_attribute_exists_in_uvicorn(ours: type, base: type) -> None:
    missing = attributes(ours) - attributes(base) - set(dir(base))
    assert not missing, f"{base.__name__} has no {sorted(missing)}: {ADAPT}"


def test_every_attribute_of_a_request_exists_in_uvicorn() -> None:
    used = attributes(BoundedConnection, "cycle")
    assert {"response_complete", "message_event"} <= used
    missing = used - attributes(RequestResponseCycle)
    assert not missing, f"RequestResponseCycle has no {sorted(missing)}: {ADAPT}"


def test_uvicorn_creates_a_connection_with_these_arguments() -> None:
    found = set(inspect.signature(HttpToolsProtocol.__init__).parameters)
    assert found == {"self", "config", "server_state", "app_state", "_loop"}, ADAPT


async def app(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """Answers with the path: `/refuse` before the body was read, `/slow` after twice the time a client has."""
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * SHORT)
    while scope["path"] != "/refuse" and (await receive()).get("more_body"):
        pass
    body = scope["path"].encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Running:
    """A uvicorn server in a thread."""

    def __init__(self, server: uvicorn.Server, address: tuple[str, int]) -> None:
        self.server = server
        self.address = address

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE)

    def talk(self, data: bytes) -> bytes:
        """Send this, and read until the server ends the connection."""
        with self.connect() as connection:
            connection.sendall(data)
            return everything(connection)


def everything(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def ask(connection: socket.socket, path: str) -> None:
    """A request that is answered, after which the connection stays open."""
    connection.sendall(get(path))
    answer = b""
    while not answer.endswith(path.encode()):
        received = connection.recv(65536)
        assert received, f"the connection ended after {answer!r}"
        answer += received


@contextmanager
def running(receive_timeout: float = SHORT, max_connections: int = 100) -> Iterator[Running]:
    bounded: Any = partial(BoundedConnection, receive_timeout=receive_timeout, max_connections=max_connections)
    config = uvicorn.Config(app, http=bounded, ws="none", lifespan="off", log_config=None, timeout_keep_alive=3600)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),))
        thread.start()
        try:
            yield Running(server, listener.getsockname())
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def short() -> Iterator[Running]:
    with running() as server:
        yield server


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and error of an answer in JSON."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head and f"Content-Length: {len(body)}".encode() in head
    (error,) = json.loads(body).values()
    return int(head.split()[1]), error


@pytest.mark.parametrize("sent", [b"GET / HTT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_slow_headers_are_answered_with_408(short: Running, sent: bytes) -> None:
    assert refusal(short.talk(sent)) == (408, f"the headers did not arrive within {SHORT:g} s")


def test_silent_client_is_disconnected(short: Running) -> None:
    assert short.talk(b"") == b""


def test_client_that_never_sends_the_rest_of_a_refused_body_is_disconnected(short: Running) -> None:
    answer = short.talk(b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nslow")
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"/refuse")


@pytest.mark.parametrize("sent", [b"GET /" + b"x" * 70_000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 12_000])
def test_large_headers_are_answered_with_431(short: Running, sent: bytes) -> None:
    assert refusal(short.talk(sent)) == (431, "the headers have more than 65,536 bytes")


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00", b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
def test_anything_but_http_is_answered_with_400(short: Running, sent: bytes) -> None:
    assert refusal(short.talk(sent))[0] == 400


def test_too_many_connections_are_answered_with_503() -> None:
    with running(receive_timeout=PATIENCE, max_connections=3) as server:
        others = [server.connect() for _ in range(3)]
        answer = server.talk(b"")
        assert refusal(answer) == (503, "too many connections")
        assert f"\r\nRetry-After: {RETRY_AFTER}\r\n".encode() in answer
        for other in others:
            other.sendall(get("/last", "Connection: close"))
            assert everything(other).endswith(b"/last")
            other.close()


def test_the_limit_is_for_headers_and_not_for_answers_or_idle_connections(short: Running) -> None:
    with short.connect() as connection:
        ask(connection, "/slow")
        time.sleep(2 * SHORT)
        connection.sendall(get("/again", "Connection: close"))
        assert everything(connection).endswith(b"/again")


def test_earlier_requests_are_answered_before_a_malformed_one_ends_the_connection(short: Running) -> None:
    answer = short.talk(get("/slow") + b"hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"/slow") and b" 400 " not in answer


def test_request_on_its_way_when_the_server_ends_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAST_CALL", PATIENCE)
    with running(receive_timeout=PATIENCE) as server, server.connect() as connection:
        ask(connection, "/first")
        server.server.should_exit = True
        with pytest.raises(ConnectionError):
            while True:
                server.connect().close()
        connection.sendall(get("/second", "Connection: close"))
        assert everything(connection).endswith(b"/second")
