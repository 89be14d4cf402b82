"""Limits on requests: bytes of one body and of all bodies together, seconds to arrive, images in the queue."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from starlette.requests import Request

from exporters.serving.problems import RequestError

RETRY_AFTER = 1
"""Seconds after which a refused client should retry: a full queue is worked off within one."""

_BODIES_IN_MEMORY = 32  # bodies of the largest allowed size; ordinary photographs are far smaller


class Bodies:
    """Reads request bodies, with limits on the size and time of each, and on the total size in memory.

    Args:
        max_bytes: of one body.
        timeout: seconds for a body to arrive.
    """

    def __init__(self, max_bytes: int, timeout: float) -> None:
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._left = max_bytes * _BODIES_IN_MEMORY

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Read a whole body; its bytes count towards the total until the block ends.

        Raises:
            RequestError: 413 too large, before it is read if the client states its size; 415 compressed; 408 too
                slow; 503 too many bodies at once.
        """
        headers = request.headers
        if headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            raise RequestError(415, "compressed bodies are not accepted: send it without Content-Encoding")
        stated = headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > self._max_bytes:
            raise self._too_large()
        # One growing buffer, whose bytes are handed on without a copy: joined chunks would be in memory twice.
        buffer = io.BytesIO()
        size = 0
        try:
            try:
                async with asyncio.timeout(self._timeout):
                    async for chunk in request.stream():
                        if size + len(chunk) > self._max_bytes:
                            raise self._too_large()
                        if len(chunk) > self._left:
                            raise RequestError(
                                503, "too many large requests at once", retry_after=RETRY_AFTER, close=True
                            )
                        size += len(chunk)
                        self._left -= len(chunk)
                        buffer.write(chunk)
            except TimeoutError as error:
                raise RequestError(408, f"the body did not arrive within {self._timeout:g} s", close=True) from error
            yield buffer.getvalue()
        finally:
            self._left += size

    def _too_large(self) -> RequestError:
        return RequestError(413, f"a request has at most {self._max_bytes:,} bytes")


class Admission:
    """The bounded queue: counts the images in the server, from decoding to the answer.

    Args:
        capacity: most images.
        observe: called with the number of images after each change.
    """

    def __init__(self, capacity: int, observe: Callable[[int], None]) -> None:
        self._capacity = capacity
        self._observe = observe
        self.images = 0

    @contextmanager
    def admit(self, images: int) -> Iterator[None]:
        """Hold places for the length of the block.

        Raises:
            RequestError: 413 for more images than the capacity, 503 with Retry-After if too few places are free.
        """
        if images > self._capacity:
            raise RequestError(413, f"a request has at most {self._capacity:,} images")
        if self.images + images > self._capacity:
            raise RequestError(503, "the queue is full", retry_after=RETRY_AFTER)
        self._change(images)
        try:
            yield
        finally:
            self._change(-images)

    def _change(self, images: int) -> None:
        self.images += images
        self._observe(self.images)
