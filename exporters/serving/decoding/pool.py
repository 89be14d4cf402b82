"""The decoders of a server: who decodes what, for how long, and what takes the place of those that end."""

import asyncio
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from exporters.images.preprocessing import Preprocessing
from exporters.serving.decoding.messages import DecodeRequest
from exporters.serving.decoding.process import Decoder, DecoderEndedError
from exporters.serving.limits import RETRY_AFTER
from exporters.serving.problems import RequestError
from exporters.serving.uploads import Upload

logger = logging.getLogger(__name__)

_BACK_OFF = 1.0  # seconds before a decoder that could not be started is tried again
_LATE = 0.5  # of the time for one image; from then on its decoder counts as stuck
_BASE_MEMORY = 256 * 2**20
_BYTES_A_PIXEL = 40  # 21 for the most of what decoders were seen to take, and room for those that were not tried
_COPIES_OF_A_BODY = 4

Loss = Literal["time", "ended", "start"]


def default_memory(max_pixels: int, max_bytes: int) -> int:
    """Bytes that decoding the largest image allowed may take; 1.3 GB at the defaults."""
    return _BASE_MEMORY + _BYTES_A_PIXEL * max_pixels + _COPIES_OF_A_BODY * max_bytes


@dataclass(frozen=True)
class DecodeLimits:
    """How many decoders there are, and what each may take.

    Args:
        decoders: processes; 1 or more.
        seconds: for one image, after which its decoder is killed.
        memory: bytes of data of each process.
    """

    decoders: int
    seconds: float
    memory: int


class DecodePool:
    """Decodes uploads in processes, which are started when they are first needed, or all at once by `start`.

    All methods are called in the event loop, in the main thread.

    Args:
        limits: number, time and memory.
        observe: called with the reason for each decoder that was lost: `time`, `ended`, or `start` where it could not
            be started.
    """

    def __init__(self, limits: DecodeLimits, observe: Callable[[Loss], None]) -> None:
        self._limits = limits
        self._observe = observe
        self._free = asyncio.Semaphore(limits.decoders)
        self._idle: list[Decoder] = []
        self._busy: dict[Decoder, float] = {}
        self._missing = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def stalled(self) -> bool:
        """Whether nothing can be decoded now: each decoder is past half its time for an image, or cannot be started."""
        late = asyncio.get_running_loop().time() - _LATE * self._limits.seconds
        stuck = sum(since < late for since in self._busy.values())
        return stuck + self._missing >= self._limits.decoders

    @property
    def pids(self) -> list[int]:
        """Of the processes that run."""
        return sorted(decoder.pid for decoder in (*self._idle, *self._busy))

    async def start(self) -> None:
        """Start all decoders, and wait until each is ready or could not be started."""
        for _ in range(self._limits.decoders):
            await self._free.acquire()
        await asyncio.gather(*(self._replace() for _ in range(self._limits.decoders)))

    async def prepare(
        self, preprocessing: Preprocessing, body: bytes, content_type: str | None, max_pixels: int
    ) -> Upload:
        """Decode as `prepare_upload` does, in the next free process. A caller that is cancelled frees it all the same.

        Raises:
            RequestError: as `prepare_upload`; 422 where the time limit was reached or the image ended the process; 503
                where the process was killed from outside, or none can be started.
        """
        if self._missing >= self._limits.decoders:
            raise RequestError(503, "no decoder can be started", retry_after=RETRY_AFTER)
        await self._free.acquire()
        answer: asyncio.Future[Upload] = asyncio.get_running_loop().create_future()
        request = DecodeRequest(preprocessing.to_json(), content_type, max_pixels)
        self._spawn(self._serve(request, body, answer))
        return await answer

    def close(self) -> None:
        """Kill all processes; nothing can be decoded from then on."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for decoder in (*self._idle, *self._busy):
            decoder.kill()
        self._idle.clear()
        self._busy.clear()

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, request: DecodeRequest, body: bytes, answer: asyncio.Future[Upload]) -> None:
        """Decode one upload; `answer` is set before a lost decoder is replaced, and the place is free after that."""
        try:
            await self._serve_until_cancelled(request, body, answer)
        except asyncio.CancelledError:  # the server ends
            answer.cancel()
            raise

    async def _serve_until_cancelled(self, request: DecodeRequest, body: bytes, answer: asyncio.Future[Upload]) -> None:
        error: Exception
        decoder = self._next_idle() or await self._start()
        if decoder is None:
            _fail(answer, RequestError(503, "no decoder can be started", retry_after=RETRY_AFTER))
            await self._replace()
            return
        self._busy[decoder] = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._limits.seconds):
                upload = await decoder.decode(request, body)
        except TimeoutError:
            error = RequestError(422, f"the image was not decoded within {self._limits.seconds:g} s")
            self._lose(decoder, "time", decoder.kill())
        except DecoderEndedError:
            code = await decoder.end()
            error = _ended(code)
            self._lose(decoder, "ended", code)
        except Exception as problem:  # the image's, or ours: either way the decoder lives
            self._release(decoder)
            _fail(answer, problem)
            return
        else:
            self._release(decoder)
            if not answer.done():
                answer.set_result(upload)
            return
        _fail(answer, error)
        await self._replace()

    def _next_idle(self) -> Decoder | None:
        """An idle decoder, without those that were killed from outside."""
        while self._idle:
            decoder = self._idle.pop()
            if decoder.running:
                return decoder
            self._lose(decoder, "ended", decoder.kill())
        return None

    def _release(self, decoder: Decoder) -> None:
        if not self._closed:
            del self._busy[decoder]
            self._idle.append(decoder)
            self._free.release()

    def _lose(self, decoder: Decoder, reason: Loss, code: int) -> None:
        self._busy.pop(decoder, None)
        self._observe(reason)
        logger.warning("decoder lost: %s", reason, extra={"event": "decoder", "reason": reason, "exit": code})

    async def _start(self) -> Decoder | None:
        """A new decoder; None where it could not be started, which is logged."""
        try:
            decoder = await Decoder.start(self._limits.memory, self._limits.seconds)
        except (DecoderEndedError, OSError, TimeoutError) as error:
            self._observe("start")
            why = f"{type(error).__name__} {error}".strip()
            logger.error("a decoder could not be started: %s", why, extra={"event": "decoder", "reason": "start"})
            return None
        if self._closed:
            decoder.kill()
            return None
        return decoder

    async def _replace(self) -> None:
        """Start a decoder in a place that is held, try again until it runs, and free the place."""
        decoder = await self._start()
        if decoder is None:
            self._missing += 1
            self._spawn(self._retry())
            return
        self._idle.append(decoder)
        self._free.release()

    async def _retry(self) -> None:
        decoder = None
        while decoder is None and not self._closed:
            await asyncio.sleep(_BACK_OFF)
            decoder = await self._start()
        if decoder is not None:
            self._missing -= 1
            self._idle.append(decoder)
            self._free.release()


def _fail(answer: "asyncio.Future[Upload]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


def _ended(code: int) -> RequestError:
    """What the client of a decoder that ended is told: the image's fault, unless it was killed from outside."""
    if code in (-signal.SIGKILL, -signal.SIGTERM):
        return RequestError(503, "the decoder of the image was killed from outside", retry_after=RETRY_AFTER)
    if code < 0:
        return RequestError(422, f"the image ended its decoder ({_signal_name(-code)})")
    return RequestError(422, f"the image ended its decoder (exit code {code})")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
