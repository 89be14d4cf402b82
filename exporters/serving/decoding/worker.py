"""A decoder: the process that decodes one upload after the other. Imports numpy and Pillow, and nothing larger."""

import contextlib
import ctypes
import io
import json
import math
import os
import resource
import signal
import socket
import sys
import warnings
from functools import lru_cache

from PIL import Image

from exporters.images.preprocessing import Preprocessing
from exporters.serving.decoding.messages import READY, SIDES, DecodeRequest, receive_request, send_answer
from exporters.serving.problems import RequestError
from exporters.serving.uploads import prepare_upload

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def main(descriptor: int, parent: int, memory: int, seconds: float) -> None:
    """Decode until the server closes the connection or ends; called in a new process.

    Args:
        descriptor: the socket to the server.
        parent: the server's process id.
        memory: bytes of data that this process may have.
        seconds: CPU time for one image, after which the system kills the process even if the server cannot.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the server, which still wants answers
        signal.signal(number, signal.SIG_IGN)
    _end_with(parent)
    _limit(resource.RLIMIT_CORE, 0)
    warnings.simplefilter("ignore")
    with socket.socket(fileno=descriptor) as connection:
        _warm_up()
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - what decoders print may come from the image
            os.dup2(nowhere.fileno(), 2)
        if sys.platform == "linux":
            _limit(resource.RLIMIT_DATA, memory)
        else:
            with contextlib.suppress(ValueError, OSError):  # some systems have no such limit
                _limit(resource.RLIMIT_AS, memory)
        with contextlib.suppress(OSError):
            send_answer(connection, READY, b"")
            serve(connection, seconds)


def serve(connection: socket.socket, seconds: float) -> None:
    """Answer requests until the connection is closed."""
    while (request := receive_request(connection)) is not None:
        _limit_cpu(seconds)
        status, *content = answer(*request)
        send_answer(connection, status, *content)


def answer(request: DecodeRequest, body: bytes) -> "tuple[int, bytes] | tuple[int, bytes, bytes]":
    """Status and content: `SIDES` and uint8 pixels `[size, size, 3]` with 200, else a message for the client."""
    try:
        preprocessing = _preprocessing(json.dumps(request.preprocessing))
        pixels, width, height = prepare_upload(preprocessing, body, request.content_type, request.max_pixels)
        return 200, SIDES.pack(width, height), pixels.tobytes()
    except RequestError as error:
        return error.status, error.message.encode()
    except MemoryError:
        return 422, b"there is not enough memory to decode the upload"
    except Exception as error:  # of ours: the server logs it
        return 500, f"{type(error).__name__}: {error}".encode()


@lru_cache(maxsize=4)
def _preprocessing(text: str) -> Preprocessing:
    return Preprocessing.from_json(json.loads(text))


def _warm_up() -> None:
    """Decode one image, so that Pillow loads its decoders now and not during the first request."""
    Image.init()
    encoded = io.BytesIO()
    Image.new("RGB", (8, 8)).save(encoded, "PNG")
    Image.open(encoded).load()


def _end_with(parent: int) -> None:
    """Be killed when the server ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))
    if os.getppid() != parent:  # it ended before
        os._exit(0)


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _limit_cpu(seconds: float) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, math.ceil(usage.ru_utime + usage.ru_stime + seconds) + 1)
