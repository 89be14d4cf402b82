"""What a hostile client sends to an HTTP server: functions of a socket, for `benchmarks.http_servers` and the soak.

An attack gives what it has seen: the status of the answer, `ended` if the connection was ended without one, or `stays`
if it was still open after the patience of the attack.
"""

import io
import socket
import struct
import time
from collections.abc import Callable, Iterator

from PIL import Image

Attack = Callable[[socket.socket, float], str]
_HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_SENT = 50_000_000  # bytes of what has no end


def seen(connection: socket.socket, end: float) -> str:
    """What comes back until `end`, in seconds of the monotonic clock."""
    answer = b""
    try:
        while True:
            connection.settimeout(max(0.001, end - time.monotonic()))
            data = connection.recv(65536)
            if not data:
                break
            answer = answer or data
    except TimeoutError:
        return "stays" + (f", {answer[9:12].decode()}" if answer else "")
    except OSError:
        pass
    return answer[9:12].decode() if answer else "ended"


def send(connection: socket.socket, pieces: Iterator[bytes], end: float) -> str:
    """Send all of it, or as much as is taken; then what comes back."""
    try:
        for piece in pieces:
            connection.settimeout(max(0.001, end - time.monotonic()))
            connection.sendall(piece)
    except OSError:  # refused, or no longer read
        pass
    return seen(connection, end)


def _once(data: bytes) -> Attack:
    return lambda connection, patience: send(connection, iter([data]), time.monotonic() + patience)


def _endless(head: bytes, piece: bytes, tail: bytes = b"") -> Attack:
    def attack(connection: socket.socket, patience: float) -> str:
        def pieces() -> Iterator[bytes]:
            yield head
            block = piece * (65_536 // len(piece))
            for _ in range(_SENT // len(block)):
                yield block
            yield tail

        return send(connection, pieces(), time.monotonic() + patience)

    return attack


def _dripping(head: bytes, piece: bytes) -> Attack:
    def attack(connection: socket.socket, patience: float) -> str:
        end = time.monotonic() + patience
        connection.settimeout(patience)
        try:
            connection.sendall(head)
            while time.monotonic() < end:
                if (found := seen(connection, min(end, time.monotonic() + 1))) != "stays":
                    return found.removeprefix("stays, ")
                connection.sendall(piece)
        except OSError:
            return "ended"
        return "stays"

    return attack


def _aborted(connection: socket.socket, patience: float) -> str:
    connection.settimeout(patience)
    connection.sendall(_HEAD + b"Content-Length: 100000\r\n\r\n" + bytes(50_000))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    return "ended"


def _unread(connection: socket.socket, patience: float) -> str:
    """Ask on and on for the largest answer, and read none of it."""
    end = time.monotonic() + patience
    try:
        while time.monotonic() < end:
            connection.settimeout(max(0.001, end - time.monotonic()))
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
    except TimeoutError:
        return "stays"
    except OSError:
        return "ended"
    return "stays"


ATTACKS: dict[str, Attack] = {
    "silence": _once(b""),
    "half a head": _once(b"GET / HTTP/1.1\r\nHost: x\r\n"),
    "a header line a second": _dripping(b"GET / HTTP/1.1\r\nHost: x\r\n", b"x: y\r\n"),
    "a byte of the body a second": _dripping(_HEAD + b"Content-Length: 1000\r\n\r\n", b"x"),
    "70,000 bytes of headers at once": _once(b"GET / HTTP/1.1\r\nHost: x\r\nx: " + b"y" * 70_000 + b"\r\n\r\n"),
    "10,000 headers at once": _once(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 10_000 + b"\r\n"),
    "headers of 3 MB": _once(b"GET / HTTP/1.1\r\nHost: x\r\nx: " + b"y" * 3_000_000 + b"\r\n\r\n"),
    "50 MB of trailers": _endless(_CHUNKED + b"0\r\n", b"a: b\r\n", b"\r\n"),
    "50 MB of one trailer": _endless(_CHUNKED + b"0\r\nx: ", b"y", b"\r\n\r\n"),
    "50 MB of one chunk extension": _endless(_CHUNKED + b"1;", b"y", b"\r\nx\r\n0\r\n\r\n"),
    "chunks of one byte": _endless(_CHUNKED, b"1\r\nx\r\n", b"0\r\n\r\n"),
    "requests without end, no answer read": _endless(b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "large answers, not read": _unread,
    "an upload that breaks off": _aborted,
    "no HTTP": _once(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
}


def scan_bomb(side: int, scans: int) -> bytes:
    """A progressive JPEG of one colour whose last scan, of a few bytes, comes so often again.

    Each costs the work of the whole image: 8 ms at 4,900 pixels a side.
    """
    encoded = io.BytesIO()
    Image.new("L", (side, side)).save(encoded, "JPEG", progressive=True)
    data = encoded.getvalue()
    last = data.rindex(b"\xff\xda")  # start of scan; the data up to the end of the image are its own
    return data[:-2] + data[last:-2] * scans + data[-2:]
