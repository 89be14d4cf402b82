import socket
import threading

import pytest

from exporters.serving.decoding.messages import ANSWER_HEAD, DecodeRequest, receive_request, send_answer

REQUEST = DecodeRequest({"size": 32}, "image/jpeg; name=\u00fc", 1000)


@pytest.mark.parametrize("length", [0, 1, 5_000_000])
def test_request_arrives_as_it_was_sent(length: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        body = bytes(range(256)) * (length // 256) + bytes(length % 256)
        sending = threading.Thread(target=lambda: ours.sendall(REQUEST.head(body) + body))
        sending.start()
        assert receive_request(theirs) == (REQUEST, body)
        sending.join()


@pytest.mark.parametrize("length", [0, 3, 20, 60])
def test_connection_that_ends_early_gives_no_request(length: int) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall((REQUEST.head(b"body") + b"bod")[:length])
        assert receive_request(theirs) is None


def test_answer_has_a_status_and_a_length() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send_answer(ours, 422, b"why")
        assert ANSWER_HEAD.unpack(theirs.recv(ANSWER_HEAD.size)) == (422, 3)
        assert theirs.recv(10) == b"why"
