"""What goes between the server and a decoder: a request and its answer, each of a fixed head and bytes."""

import json
import socket
import struct
from dataclasses import asdict, dataclass
from typing import Any

ANSWER_HEAD = struct.Struct(">HI")
"""A status as in HTTP, and the length of what follows: `SIDES` and pixels for 200, else a message."""

SIDES = struct.Struct(">II")
"""Width and height of the image as it was sent."""

READY = 100
"""Status of the answer that a decoder gives once, unasked, when it has started."""

_REQUEST_HEAD = struct.Struct(">II")


@dataclass(frozen=True)
class DecodeRequest:
    """One upload.

    Args:
        preprocessing: as `Preprocessing.to_json` gives it.
        content_type: of the request.
        max_pixels: larger images are refused before they are decoded.
    """

    preprocessing: dict[str, Any]
    content_type: str | None
    max_pixels: int

    def head(self, body: bytes) -> bytes:
        """What is sent before the body."""
        options = json.dumps(asdict(self)).encode("ascii")
        return _REQUEST_HEAD.pack(len(options), len(body)) + options


def receive_request(connection: socket.socket) -> tuple[DecodeRequest, bytes] | None:
    """Wait for a request; None when the server closed the connection."""
    head = _receive(connection, _REQUEST_HEAD.size)
    if head is None:
        return None
    options_length, body_length = _REQUEST_HEAD.unpack(head)
    options, body = _receive(connection, options_length), _receive(connection, body_length)
    return None if options is None or body is None else (DecodeRequest(**json.loads(options)), bytes(body))


def send_answer(connection: socket.socket, status: int, *content: "bytes | memoryview") -> None:
    """Send an answer, whose content is in parts.

    Raises:
        OSError: the server is gone.
    """
    connection.sendall(ANSWER_HEAD.pack(status, sum(map(len, content))) + b"".join(content[:-1]))
    connection.sendall(content[-1])


def _receive(connection: socket.socket, length: int) -> bytearray | None:
    """So many bytes; None when the connection ends before."""
    buffer = bytearray(length)
    view = memoryview(buffer)
    while view:
        received = connection.recv_into(view)
        if not received:
            return None
        view = view[received:]
    return buffer
