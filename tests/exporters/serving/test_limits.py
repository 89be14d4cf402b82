import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import Request

from exporters.serving.limits import Admission, Bodies
from exporters.serving.problems import RequestError


def request(*chunks: bytes, headers: dict[str, str] | None = None, stalls: bool = False) -> Request:
    waiting = list(chunks)

    async def receive() -> dict[str, Any]:
        if not waiting and stalls:
            await asyncio.Event().wait()
        body = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": body, "more_body": bool(waiting) or stalls}

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


async def read(bodies: Bodies, asked: Request) -> bytes:
    async with bodies.read(asked) as body:
        return body


def refusal(bodies: Bodies, asked: Request) -> RequestError:
    with pytest.raises(RequestError) as caught:
        asyncio.run(read(bodies, asked))
    return caught.value


def test_a_body_is_read_whole() -> None:
    bodies = Bodies(10, 30)
    assert asyncio.run(read(bodies, request(b"ab", b"", b"cd"))) == b"abcd"
    assert asyncio.run(read(bodies, request())) == b""
    assert asyncio.run(read(bodies, request(b"0123456789"))) == b"0123456789"


def test_body_is_held_in_memory_once() -> None:
    """Once, as the bound on all bodies counts it."""
    piece, pieces = 2**16, 128
    bodies = Bodies(piece * pieces, 30)

    async def main() -> tuple[int, int]:
        tracemalloc.start()
        try:
            # Made as they are asked for, as a socket gives them.
            asked = request(*[b""] * pieces)
            received = asked._receive

            async def receive() -> Any:
                message = await received()
                return {**message, "body": bytes(piece)}

            asked._receive = receive
            async with bodies.read(asked) as body:
                assert len(body) == piece * pieces
                return tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    held, peak = asyncio.run(main())
    assert held < 1.1 * piece * pieces
    assert peak < 1.5 * piece * pieces  # while it grows


def test_too_large_body_is_refused() -> None:
    bodies = Bodies(10, 30)
    assert refusal(bodies, request(b"012345", b"67890")).status == 413
    # Told beforehand, it is not even read.
    assert refusal(bodies, request(headers={"content-length": "11"}, stalls=True)).status == 413


def test_compressed_and_slow_bodies_are_refused() -> None:
    assert refusal(Bodies(10, 30), request(b"x", headers={"content-encoding": "gzip"})).status == 415
    slow = refusal(Bodies(10, 0.01), request(b"x", stalls=True))
    assert (slow.status, slow.headers) == (408, {"Connection": "close"})


def test_all_bodies_together_are_bounded_and_given_back() -> None:
    bodies = Bodies(10, 30)

    async def hold(left: int) -> AsyncIterator[None]:
        async with bodies.read(request(b"0123456789")):
            if left:
                async for _ in hold(left - 1):
                    yield
            else:
                yield

    async def main() -> None:
        async for _ in hold(31):
            with pytest.raises(RequestError) as caught:
                await read(bodies, request(b"x"))
            assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "1")
        assert await read(bodies, request(b"x")) == b"x"

    asyncio.run(main())


def test_queue_admits_images_up_to_its_limit() -> None:
    seen: list[int] = []
    admission = Admission(3, seen.append)
    with admission.admit(2):
        with pytest.raises(RequestError) as caught, admission.admit(2):
            pass
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
        with admission.admit(1):
            assert admission.images == 3
    with pytest.raises(RequestError) as caught, admission.admit(4):
        pass
    assert caught.value.status == 413
    with pytest.raises(KeyError), admission.admit(3):
        raise KeyError
    assert admission.images == 0
    assert seen == [2, 3, 2, 0, 3, 0]
