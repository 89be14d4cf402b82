"""The bounds of a connection in time and number, and its answers, each through a real socket."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest

from exporters.serving import connection as module
from exporters.serving import connections as places
from exporters.serving.limits import RETRY_AFTER

from .listener import PATIENCE, SHORT, Running, chunked, everything, get, running

_CLOSE = "Connection: close"


@pytest.fixture(scope="module")
def short() -> Iterator[Running]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def patient() -> Iterator[Running]:
    with running(receive=PATIENCE) as server:
        yield server


def ask(connection: socket.socket, path: str) -> None:
    """A request that is answered, after which the connection stays open."""
    connection.sendall(get(path))
    answer = b""
    while not answer.endswith(f"{path} 0".encode()):
        received = connection.recv(65536)
        assert received, f"the connection ended after {answer!r}"
        answer += received


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and error of an answer in JSON."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head and f"Content-Length: {len(body)}".encode() in head
    (error,) = json.loads(body).values()
    return int(head.split()[1]), error


def bodies(answer: bytes) -> list[bytes]:
    """The bodies of several answers of the application, none of which is longer than a line."""
    return [part.rpartition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]]


class TestTime:
    @pytest.mark.parametrize("sent", [b"GET / HTT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
    def test_slow_headers_are_answered_with_408(self, short: Running, sent: bytes) -> None:
        assert refusal(short.talk(sent)) == (408, f"the headers did not arrive within {SHORT:g} s")

    def test_silent_client_is_disconnected(self, short: Running) -> None:
        assert short.talk(b"") == b""

    def test_client_that_never_sends_the_rest_of_a_refused_body_is_disconnected(self, short: Running) -> None:
        answer = short.talk(b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nslow")
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"/refuse 0")

    def test_client_that_does_not_read_its_answer_is_disconnected(self, short: Running) -> None:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before it connects
            connection.connect(short.address)
            connection.sendall(get("/large"))
            while short.opened:
                time.sleep(0.01)

    def test_time_for_headers_does_not_run_during_answers_or_between_requests(self, short: Running) -> None:
        with short.connect() as connection:
            ask(connection, "/slow")
            time.sleep(2 * SHORT)
            connection.sendall(get("/again", _CLOSE))
            assert everything(connection).endswith(b"/again 0")


class TestNumber:
    @pytest.fixture(autouse=True)
    def _who_waits_keeps_his_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(places, "_LEAST_WAIT", PATIENCE)

    def test_silent_connections_make_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(places, "_LEAST_WAIT", 0.0)
        with running(receive=PATIENCE, most=3) as server:
            others = [server.connect() for _ in range(3)]
            others[1].sendall(b"GET / HTTP/1.1\r\n")  # and those that send half a head
            for _ in range(3):
                assert server.talk(get("/work", _CLOSE)).endswith(b"/work 0")
            others[0].settimeout(PATIENCE)
            assert everything(others[0]) == b""
            for other in others:
                other.close()

    def test_connection_with_a_request_makes_no_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(places, "_LEAST_WAIT", 0.0)
        with running(receive=PATIENCE, most=1) as server, server.connect() as busy:
            busy.sendall(chunked("/busy", _CLOSE))
            while not any(opened._exchanges for opened in server.opened):
                time.sleep(0.01)
            assert refusal(server.talk(get("/work")))[0] == 503
            busy.sendall(b"0\r\n\r\n")
            assert everything(busy).endswith(b"/busy 0")

    def test_beyond_the_limit_only_probes_are_answered(self) -> None:
        with running(receive=PATIENCE, most=3) as server:
            others = [server.connect() for _ in range(3)]
            answer = server.talk(get("/work"))
            assert refusal(answer) == (503, "too many connections")
            assert f"\r\nRetry-After: {RETRY_AFTER}\r\n".encode() in answer
            assert server.talk(get("/v2/health/live")).endswith(b"/v2/health/live 0")
            for other in others:
                other.sendall(get("/last", _CLOSE))
                assert everything(other).endswith(b"/last 0")
                other.close()

    def test_one_client_cannot_take_all_connections(self) -> None:
        with running(receive=PATIENCE, most=10, per_client=2) as server:
            others = [server.connect() for _ in range(2)]
            assert refusal(server.talk(get("/work"))) == (429, "too many connections from this address")
            assert server.talk(get("/v2/health/live")).startswith(b"HTTP/1.1 200 ")
            with socket.create_connection(server.address, PATIENCE, ("127.0.0.2", 0)) as another:
                another.sendall(get("/work", _CLOSE))
                assert everything(another).endswith(b"/work 0")
            for other in others:
                other.close()
            while not server.talk(get("/work", _CLOSE)).endswith(b"/work 0"):
                pass  # until the server has noticed

    def test_silent_client_holds_a_place_of_the_reserve_briefly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_RESERVED", 0.05)
        with running(receive=PATIENCE, most=1, reserve=1) as server, server.connect() as only:
            ask(only, "/first")
            assert refusal(server.talk(b"")) == (503, "too many connections")

    def test_connection_beyond_the_reserve_is_closed_at_once(self) -> None:
        with running(receive=PATIENCE, most=1, reserve=1) as server, server.connect() as first, server.connect():
            ask(first, "/first")
            with contextlib.suppress(ConnectionError):
                assert server.talk(b"") == b""
            ask(first, "/again")

    def test_requests_beyond_those_that_may_wait_are_not_answered(self, patient: Running) -> None:
        asked = [get(f"/{number}") for number in range(200)]
        answers = bodies(patient.talk(get("/slow") + b"".join(asked)))
        assert answers == [b"/slow 0", *(f"/{number} 0".encode() for number in range(module.MAX_WAITING))]


class TestAnswers:
    def test_earlier_requests_are_answered_before_a_malformed_one_ends_the_connection(self, patient: Running) -> None:
        answer = patient.talk(get("/slow") + b"hello\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"/slow 0") and b" 400 " not in answer

    def test_requests_that_arrive_together_are_answered_in_order(self, patient: Running) -> None:
        sent = get("/slow") + chunked("/b") + b"3\r\nabc\r\n0\r\n\r\n" + get("/c", _CLOSE)
        assert bodies(patient.talk(sent)) == [b"/slow 0", b"/b 3", b"/c 0"]

    @pytest.mark.parametrize("length", [0, 1, 16_384, 1_000_000])
    def test_bodies_arrive_whole(self, patient: Running, length: int) -> None:
        head = get("/", f"Content-Length: {length}", _CLOSE).replace(b"GET", b"POST")
        assert patient.talk(head + bytes(length)).endswith(f"/ {length}".encode())

    def test_error_after_the_head_of_a_body_is_the_answer(self, patient: Running) -> None:
        assert refusal(patient.talk(chunked("/") + b"no size\r\n")) == (400, "this is not a valid HTTP request")

    def test_error_in_the_rest_of_an_answered_body_is_no_second_answer(self, patient: Running) -> None:
        with patient.connect() as connection:
            connection.sendall(chunked("/refuse"))
            first = connection.recv(65536)
            while not first.endswith(b"/refuse 0"):
                first += connection.recv(65536)
            connection.sendall(b"no size\r\n")
            assert everything(connection) == b""

    def test_answer_of_unknown_length_is_chunked(self, patient: Running) -> None:
        answer = patient.talk(get("/chunked", _CLOSE))
        assert b"transfer-encoding: chunked" in answer
        assert answer.endswith(b"\r\n\r\n1\r\n/\r\n9\r\nchunked 0\r\n0\r\n\r\n")

    def test_answer_of_unknown_length_ends_the_connection_of_http_1_0(self, patient: Running) -> None:
        answer = patient.talk(get("/chunked", "Connection: keep-alive").replace(b"1.1", b"1.0"))
        assert answer.endswith(b"\r\nconnection: close\r\n\r\n/chunked 0")

    def test_http_1_0_keeps_the_connection_if_asked_to(self, patient: Running) -> None:
        old = get("/old", "Connection: keep-alive").replace(b"1.1", b"1.0")
        answers = patient.talk(old + get("/last", _CLOSE))
        assert b"\r\nconnection: keep-alive\r\n" in answers and bodies(answers) == [b"/old 0", b"/last 0"]

    def test_head_has_the_length_and_no_body(self, patient: Running) -> None:
        answer = patient.talk(get("/", _CLOSE).replace(b"GET", b"HEAD"))
        assert b"\r\ncontent-length: 3\r\n" in answer and answer.endswith(b"\r\n\r\n")

    def test_client_that_expects_it_is_told_to_continue(self, patient: Running) -> None:
        with patient.connect() as connection:
            connection.sendall(chunked("/", "Expect: 100-continue", _CLOSE))
            assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"1\r\nx\r\n0\r\n\r\n")
            assert everything(connection).endswith(b"/ 1")

    def test_client_that_expects_to_continue_and_is_refused_is_disconnected(self, patient: Running) -> None:
        answer = patient.talk(chunked("/refuse", "Expect: 100-continue"))
        assert answer.startswith(b"HTTP/1.1 200 ") and b"\r\nconnection: close\r\n" in answer

    def test_application_that_fails_ends_the_connection(
        self, patient: Running, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(ConnectionError):
            if not patient.talk(get("/raises")):
                raise ConnectionError
        assert "internal error" in caplog.text


class TestEnd:
    def test_request_on_its_way_when_the_server_ends_is_answered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_LAST_CALL", PATIENCE)
        with running(receive=PATIENCE) as server, server.connect() as connection:
            ask(connection, "/first")
            server.shut_down()
            connection.sendall(get("/second"))
            answer = everything(connection)
            assert b"\r\nconnection: close\r\n" in answer and answer.endswith(b"/second 0")

    def test_request_in_progress_when_the_server_ends_is_answered(self, patient: Running) -> None:
        with patient.connect() as connection:
            connection.sendall(get("/slow"))
            while not any(opened._exchanges for opened in patient.opened):
                time.sleep(0.01)
            patient.shut_down()
            assert everything(connection).endswith(b"/slow 0")

    def test_idle_connection_is_closed_when_the_server_ends(self, patient: Running) -> None:
        with patient.connect() as connection:
            ask(connection, "/first")
            patient.shut_down()
            assert everything(connection) == b""
