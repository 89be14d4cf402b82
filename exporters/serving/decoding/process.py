"""One decoder, as the server sees it: a process and the socket to it."""

import asyncio
import os
import socket
import subprocess
import sys

import numpy as np

from exporters.serving.decoding.messages import ANSWER_HEAD, READY, SIDES, DecodeRequest
from exporters.serving.problems import RequestError
from exporters.serving.uploads import Upload

_START_SECONDS = 60.0
_PROGRAM = "import sys; sys.path[:] = {path!r}; from exporters.serving.decoding.worker import main; main({arguments})"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class DecoderEndedError(Exception):
    """The process ended before it answered."""


class Decoder:
    """A running decoder; use `Decoder.start`."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, memory: int, seconds: float) -> "Decoder":
        """Start the process, and wait until it is ready.

        To be called in the main thread: the system kills a decoder when the thread that started it ends.

        Args:
            memory: bytes of data that it may have.
            seconds: CPU time for one image.

        Raises:
            DecoderEndedError, OSError, TimeoutError: it could not be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = f"{theirs.fileno()}, {os.getpid()}, {memory}, {seconds}"
            try:
                process = subprocess.Popen(  # noqa: S603 - our own program; takes some milliseconds, and is rare
                    [sys.executable, "-c", _PROGRAM.format(path=sys.path, arguments=arguments)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env={**os.environ, **_ONE_THREAD},
                )
            except BaseException:
                ours.close()
                raise
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=2**20)
        decoder = cls(process, reader, writer)
        try:
            async with asyncio.timeout(_START_SECONDS):
                status, _ = await decoder._receive()
            if status != READY:
                raise DecoderEndedError
        except BaseException:
            decoder.kill()
            raise
        return decoder

    async def decode(self, request: DecodeRequest, body: bytes) -> Upload:
        """The image in a body. One at a time; if cancelled, the decoder must be killed.

        Raises:
            RequestError: as `prepare_upload`.
            DecoderEndedError: the process ended meanwhile.
        """
        try:
            self._writer.write(request.head(body))
            self._writer.write(body)
            await self._writer.drain()
        except OSError as error:
            raise DecoderEndedError from error
        status, content = await self._receive()
        if status == 200:
            size = request.preprocessing["size"]
            pixels = np.frombuffer(content, np.uint8, offset=SIDES.size).reshape(size, size, 3)
            return Upload(pixels, *SIDES.unpack_from(content))
        if status == 500:
            raise RuntimeError(f"a decoder failed: {content.decode()}")
        raise RequestError(status, content.decode())

    async def _receive(self) -> tuple[int, bytes]:
        try:
            status, length = ANSWER_HEAD.unpack(await self._reader.readexactly(ANSWER_HEAD.size))
            return status, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise DecoderEndedError from error

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    def kill(self) -> int:
        """End the process at once, whatever it does, and wait for its end.

        Returns:
            The signal that ended it, negative, or its exit code; that of its own end if it had ended before.
        """
        self._writer.close()
        self._process.kill()
        return self._process.wait()

    async def end(self) -> int:
        """Wait for a process whose connection ended, for a moment, then kill it; returns as `kill`."""
        for _ in range(50):
            if self._process.poll() is not None:
                break
            await asyncio.sleep(0.02)
        return self.kill()
